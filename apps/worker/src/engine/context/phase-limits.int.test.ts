// What a handler takes and uses up: rate limits and usage.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import type { PhaseContext, PhaseDefinition } from '@millrace/sdk';
import { addUsage } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, gate, type EngineFixture } from '../test-support/engine-fixture.ts';
import { createUsageRecorder } from './usage-recorder.ts';

const ONCE = { attempts: 1 } as const;
const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
const LIMITS = {
  hourly: [{ max: 3, per: '1h' }],
  quick: [{ max: 2, per: 200 }],
  slow: [{ max: 1, per: '1500ms' }],
  crowded: [{ max: 4, per: 500 }],
  both: [
    { max: 5, per: 100 },
    { max: 6, per: '1h' },
  ],
} as const;
let test: EngineFixture;

beforeAll(async () => {
  test = await createEngineFixture();
  await Promise.all([test.engine(), test.engine()]);
});

afterAll(async () => {
  await test.close();
});

const define = (handler: (ctx: PhaseContext) => unknown, more: object = {}) =>
  test.define({ only: { retry: ONCE, run: handler, ...more } as PhaseDefinition<never> }, 1, { limits: LIMITS });

async function run(handler: (ctx: PhaseContext) => unknown, more: object = {}) {
  const flowId = await test.start(define(handler, more));
  const {
    phases: [phase],
  } = await test.ended(flowId);
  return { phase, flowId };
}

/** What waits shows in the events as phases that went back. */
const reasonsOf = async (flowId: string) =>
  (await test.events(flowId)).filter((event) => event.type === 'phase.queued').flatMap((event) => event.data['reason'] ?? []);

describe('ctx.rateLimit', () => {
  it('takes units of all windows, and with `return` says that they are not there', async () => {
    const { phase } = await run(async (ctx) => [
      await ctx.rateLimit('hourly', 2, { wait: 'return' }),
      await ctx.rateLimit('hourly', 2, { wait: 'return' }),
      await ctx.rateLimit('hourly', 1, { wait: 'return' }),
      await ctx.rateLimit('hourly', 1, { wait: 'return' }),
      await ctx.rateLimit('hourly', 3, { wait: 'return', key: 'of its own' }),
      await ctx.rateLimit('both', 5),
      await ctx.rateLimit('both', 1),
      await ctx.rateLimit('both', 1, { wait: 'return' }),
    ]);
    expect(phase?.output).toEqual([true, false, true, false, true, true, true, false]);
  });

  it('waits in place while that is short', async () => {
    const times: number[] = [];
    const { phase, flowId } = await run(async (ctx) => {
      for (let n = 0; n < 6; n += 1) {
        await ctx.rateLimit('quick');
        times.push(Date.now());
      }
    });
    expect([phase?.status, phase?.attempts, await reasonsOf(flowId)]).toEqual(['completed', 1, []]);
    // No span of 200 ms has more than two; the timestamps are taken a little after the units.
    for (const [index, at] of times.entries()) if (index >= 2) expect(at - (times[index - 2] ?? 0)).toBeGreaterThan(150);
  });

  it('gives the worker back for a longer wait, at no cost of an attempt, and goes on when the units are there', async () => {
    const name = define((ctx) => ctx.rateLimit('slow', 1, { key: 'back' }));
    const ids = [await test.start(name), await test.start(name)];
    const ended = await Promise.all(ids.map((id) => test.ended(id)));
    expect(ended.map(({ phases: [phase] }) => [phase?.status, phase?.attempts, phase?.output])).toEqual([
      ['completed', 1, true],
      ['completed', 1, true],
    ]);
    const reasons = (await Promise.all(ids.map(reasonsOf))).flat();
    expect(new Set(reasons)).toEqual(new Set(['rate-limited']));
  });

  it('sends many away until it is their turn, not all of them for the same few units again and again', async () => {
    const name = define((ctx) => ctx.rateLimit('crowded', 1, { wait: 200 }));
    const ids = await Promise.all(Array.from({ length: 32 }, () => test.start(name)));
    const ended = await Promise.all(ids.map((id) => test.ended(id)));
    expect(ended.map(({ phases: [phase] }) => phase?.output)).toEqual(ids.map(() => true));
    const returns = (await Promise.all(ids.map(reasonsOf))).flat().length;
    // All of those that are left, every time: 28 + 24 + ... + 4 = 112.
    expect(returns).toBeLessThan(64);
  }, 30_000);

  it('is shared by all flows and engines that name it', async () => {
    const granted = await Promise.all(
      Array.from(
        { length: 12 },
        async () => (await run((ctx) => ctx.rateLimit('hourly', 1, { key: 'shared', wait: 'return' }))).phase?.output,
      ),
    );
    expect(granted.filter((taken) => taken === true)).toHaveLength(3);
  });

  it('ends its wait when the handler is told to stop', async () => {
    const { phase } = await run(
      async (ctx) => {
        await ctx.rateLimit('hourly', 3, { key: 'stop' });
        return ctx.rateLimit('hourly', 1, { key: 'stop', wait: '2h' }).catch((error: Error) => error.name);
      },
      { timeout: { soft: '100ms', hard: '5s' } },
    );
    expect(phase?.output).toBe('AbortError');
  });

  it.each<[string, (ctx: PhaseContext) => unknown, RegExp]>([
    ['a limit that the flow does not have', (ctx) => ctx.rateLimit('none'), /no rate limit "none"/],
    ['a name that every object has', (ctx) => ctx.rateLimit('constructor'), /no rate limit "constructor"/],
    ['more units than a window ever holds', (ctx) => ctx.rateLimit('both', 6), /6 units of the rate limit "both" are more/],
    ['half a unit', (ctx) => ctx.rateLimit('quick', 0.5), /positive integer/],
    ['no unit', (ctx) => ctx.rateLimit('quick', 0), /positive integer/],
    ['a key that cannot be kept', (ctx) => ctx.rateLimit('quick', 1, { key: '\0' }), /must not hold NUL/],
  ])('fails the phase at once for %s', async (_, handler, message) => {
    const { phase } = await run(handler, { retry: QUICK });
    expect(phase).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'PermanentError', message: expect.stringMatching(message) },
    });
  });
});

const usageOf = async (like: string) =>
  (
    await test.database.main.query<{ kind: string; amount: number; keyId: string }>(
      'SELECT kind, amount::float8 AS amount, key_id AS "keyId" FROM millrace.usage WHERE kind LIKE $1 AND day = (now() AT TIME ZONE \'UTC\')::date ORDER BY kind',
      [like],
    )
  ).rows;

describe('ctx.usage', () => {
  it('is summed for whoever started the flow, and written before the end of the attempt is', async () => {
    await run((ctx) => {
      ctx.usage('sum_tokens', 100);
      ctx.usage('sum_tokens', 23);
      ctx.usage('sum_cost', 0.25);
      ctx.usage('sum_nothing', 0);
    });
    expect(await usageOf('sum_%')).toEqual([
      { kind: 'sum_cost', amount: 0.25, keyId: 'test' },
      { kind: 'sum_tokens', amount: 123, keyId: 'test' },
    ]);
  });

  it('counts what failed attempts consumed', async () => {
    const { phase } = await run(
      (ctx) => {
        ctx.usage('failed_tokens', 10);
        if (ctx.attempt < 3) throw new Error('no');
      },
      { retry: QUICK },
    );
    expect([phase?.status, await usageOf('failed_%')]).toEqual(['completed', [{ kind: 'failed_tokens', amount: 30, keyId: 'test' }]]);
  });

  it('is written while the phase still runs', async () => {
    const goOn = gate();
    const flowId = await test.start(
      define(async (ctx) => {
        ctx.usage('early_tokens', 1);
        await goOn.promise;
      }),
    );
    await eventually(async () => {
      expect(await usageOf('early_%')).toHaveLength(1);
    });
    goOn.resolve();
    expect((await test.ended(flowId)).flow.status).toBe('completed');
  });

  it('of many phases at the same time adds up', async () => {
    const name = define((ctx) => {
      ctx.usage('many_tokens', 2);
    });
    const ids = await Promise.all(Array.from({ length: 40 }, () => test.start(name)));
    await Promise.all(ids.map((id) => test.ended(id)));
    expect(await usageOf('many_%')).toEqual([{ kind: 'many_tokens', amount: 80, keyId: 'test' }]);
  });

  it.each<[string, (ctx: PhaseContext) => void, RegExp]>([
    ['a kind that is none', (ctx) => ctx.usage('Tokens', 1), /must match/],
    ['less than nothing', (ctx) => ctx.usage('tokens', -1), /at least 0/],
    ['no number', (ctx) => ctx.usage('tokens', Number.NaN), /at least 0/],
    ['endlessly much', (ctx) => ctx.usage('tokens', Number.POSITIVE_INFINITY), /at least 0/],
    [
      'too many kinds',
      (ctx) => {
        for (let n = 0; n < 33; n += 1) ctx.usage(`kind_${n}`, 1);
      },
      /at most 32 kinds/,
    ],
  ])('fails the phase at once for %s', async (_, handler, message) => {
    const { phase } = await run(handler, { retry: QUICK });
    expect(phase).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'PermanentError', message: expect.stringMatching(message) },
    });
  });
});

describe('a flush of usage', () => {
  const log = createLogger({ name: 'test', level: 'silent' });
  const clock = { nowMs: () => Date.now() };

  it('counts once, however often it is sent', async () => {
    const { flowId } = await run(() => undefined);
    const flush = {
      source: 'twice',
      seq: 1,
      amounts: [{ flowId, day: new Date().toISOString().slice(0, 10), kind: 'twice_tokens', amount: 5 }],
    };
    await Promise.all([1, 2, 3].map(() => addUsage(test.database.main, flush)));
    await addUsage(test.database.main, { ...flush, seq: 2 });
    await addUsage(test.database.main, flush);
    expect(await usageOf('twice_%')).toEqual([{ kind: 'twice_tokens', amount: 10, keyId: 'test' }]);
  });

  it('whose answer was lost is sent again and counts once, before anything later', async () => {
    const { flowId } = await run(() => undefined);
    let losses = 2;
    // The server does what it is asked; its answer never arrives.
    const lossy = {
      query: async (statement: { text: string; values: unknown[] }) => {
        const answer = await test.database.main.query(statement);
        losses -= 1;
        if (losses >= 0) throw Object.assign(new Error('lost'), { code: 'ECONNRESET' });
        return answer;
      },
    };
    const recorder = createUsageRecorder({ database: { main: lossy as never }, clock, log, source: 'lossy' });
    const usage = recorder.forAttempt({ flowId });
    usage.record('lost_tokens', 7);
    const first = usage.flush();
    usage.record('lost_tokens', 1);
    await Promise.all([first, usage.flush()]);
    await recorder.flush();
    expect(await usageOf('lost_%')).toEqual([{ kind: 'lost_tokens', amount: 8, keyId: 'test' }]);
  });
});
