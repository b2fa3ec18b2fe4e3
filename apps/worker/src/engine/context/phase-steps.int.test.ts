import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LIMITS } from '@millrace/shared';
import type { PhaseContext } from '@millrace/sdk';
import { createEngineFixture, gate, type EngineFixture } from '../test-support/engine-fixture.ts';

const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
let test: EngineFixture;

beforeAll(async () => {
  test = await createEngineFixture();
  await test.engine();
});

afterAll(async () => {
  await test.close();
});

async function run(handler: (ctx: PhaseContext) => unknown, retry: object = { attempts: 1 }) {
  const {
    phases: [phase],
  } = await test.ended(await test.start(test.define({ only: { retry, run: handler } })));
  return { phase };
}

describe('ctx.step', () => {
  it('runs once and gives later attempts what was kept', async () => {
    const ran: string[] = [];
    const { phase } = await run(async (ctx) => {
      const results = [];
      for (const name of ['a', 'b', 'c']) {
        results.push(
          await ctx.step(name, () => {
            ran.push(`${name}${ctx.attempt}`);
            return { from: ctx.attempt };
          }),
        );
        if (name === 'b' && ctx.attempt < 3) throw new Error('no');
      }
      return results;
    }, QUICK);
    expect(phase?.output).toEqual([{ from: 1 }, { from: 1 }, { from: 3 }]);
    expect(ran).toEqual(['a1', 'b1', 'c3']);
  });

  it('keeps nothing of a step that throws, and null for one without a result', async () => {
    const { phase } = await run(async (ctx) => {
      const nothing = await ctx.step('nothing', () => undefined);
      const late = await ctx.step('late', () => {
        if (ctx.attempt === 1) throw new Error('no');
        return ctx.attempt;
      });
      return [nothing ?? null, late];
    }, QUICK);
    expect(phase?.output).toEqual([null, 2]);
  });

  it.each<[string, string, () => unknown, RegExp]>([
    ['a result that cannot be kept', 'bad', () => ({ n: 1n }), /step "bad" cannot be kept: it is not JSON/],
    ['a result that is too large', 'big', () => 'x'.repeat(LIMITS.outputBytesMax), /step "big" cannot be kept: it is larger/],
    ['no name', '', () => 1, /name must have 1 to 200/],
    ['a name that is too long', 'x'.repeat(201), () => 1, /name must have 1 to 200/],
  ])('fails the phase at once for %s', async (_, name, fn, message) => {
    const { phase } = await run((ctx) => ctx.step(name, fn), QUICK);
    expect(phase).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'PermanentError', message: expect.stringMatching(message) },
    });
  });

  it('fails the phase at once for a name that the database cannot keep', async () => {
    const { phase } = await run((ctx) => ctx.step('a\0b', () => 1), QUICK);
    expect(phase).toMatchObject({ status: 'failed', attempts: 1 });
  });

  it('gives the first call what every later one gets: a copy of what JSON makes of the result', async () => {
    const seen: unknown[] = [];
    const { phase } = await run(async (ctx) => {
      const make = () => ({ at: new Date(0), left: undefined, list: [undefined, Number.NaN], n: -0 });
      const result = await ctx.step<Record<string, unknown>>('shape', make);
      seen.push({ ...result }, await ctx.step('nothing', () => undefined));
      result['at'] = 'changed by the handler';
      if (ctx.attempt === 1) throw new Error('again');
      return ctx.step('shape', make);
    }, QUICK);
    const shape = { at: '1970-01-01T00:00:00.000Z', list: [null, null], n: 0 };
    expect(seen).toStrictEqual([shape, null, shape, null]);
    expect(phase?.output).toEqual(shape);
  });

  it('runs once for calls at the same time and for later ones, and again when it failed', async () => {
    const { phase } = await run(async (ctx) => {
      let calls = 0;
      const count = () => Promise.resolve((calls += 1));
      const together = await Promise.all([ctx.step('a', count), ctx.step('a', count), ctx.step('a', count)]);
      const later = await ctx.step('a', count);
      const fail = () => Promise.reject(new Error('no'));
      const failed = await Promise.allSettled([ctx.step('b', fail), ctx.step('b', count)]);
      return [together, later, failed.map(({ status }) => status), await ctx.step('b', count), calls];
    });
    expect(phase?.output).toEqual([[1, 1, 1], 1, ['rejected', 'rejected'], 2, 2]);
  });

  it('may call other steps, and keeps those also when it fails itself', async () => {
    const ran: string[] = [];
    const { phase } = await run(
      (ctx) =>
        ctx.step('outer', async () => {
          const inner = await ctx.step('inner', () => ran.push('inner'));
          ran.push('outer');
          if (ctx.attempt === 1) throw new Error('no');
          return inner;
        }),
      QUICK,
    );
    expect([phase?.output, ran]).toEqual([1, ['inner', 'outer', 'outer']]);
  });

  it('fails the phase at once when it calls itself, rather than wait for itself', async () => {
    const { phase } = await run((ctx) => ctx.step('loop', () => ctx.step('deep', () => ctx.step('loop', () => 1))), QUICK);
    expect(phase).toMatchObject({ status: 'failed', attempts: 1, error: { message: 'step "loop" is called inside itself' } });
  });

  it('keeps 1,000 results of a phase and refuses the next before it runs, also when all are called at once', async () => {
    let ran = 0;
    const { phase } = await run(
      (ctx) => Promise.all(Array.from({ length: LIMITS.stepsMax + 1 }, (_, n) => ctx.step(`${n}`, () => (ran += 1)))),
      QUICK,
    );
    expect(phase).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { message: expect.stringMatching(/is one too many: .* 1000 steps/) },
    });
    expect(ran).toBe(LIMITS.stepsMax);
  });

  it('keeps 16 MiB of a phase, counted over its attempts, and names step and sizes beyond', async () => {
    const text = 'x'.repeat(LIMITS.outputBytesMax - 2);
    const { phase } = await run(async (ctx) => {
      for (let n = 0; n < 16; n += 1) await ctx.step(`${n}`, () => text);
      if (ctx.attempt === 1) throw new Error('again');
      await ctx.step('last', () => 1);
    }, QUICK);
    expect(phase).toMatchObject({
      status: 'failed',
      attempts: 2,
      error: {
        message: `the result of step "last" cannot be kept: with its 1 bytes the steps of this phase would have ${LIMITS.stepsBytesMax + 1}, more than ${LIMITS.stepsBytesMax}`,
      },
    });
  }, 15_000);

  it('begins no step after the phase was told to stop, so that the next attempt goes on there at no cost', async () => {
    const other = await createEngineFixture();
    const ran: string[] = [];
    const [entered, goOn] = [gate(), gate()];
    const name = other.define({
      only: {
        run: async (ctx: PhaseContext) => {
          await ctx.step('one', async () => {
            ran.push('one');
            entered.resolve();
            await goOn.promise;
          });
          await ctx.step('two', () => ran.push('two'));
        },
      },
    });
    const first = await other.engine();
    const flowId = await other.start(name);
    await entered.promise;
    const drained = first.drain(2_000);
    first.running.stopAll('shutdown');
    goOn.resolve();
    await drained;
    expect(ran).toEqual(['one']);
    await other.engine();
    expect((await other.ended(flowId)).phases[0]).toMatchObject({ status: 'completed', attempts: 1 });
    expect(ran).toEqual(['one', 'two']);
    await other.close();
  }, 15_000);
});
