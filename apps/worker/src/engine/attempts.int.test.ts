// How attempts end, whatever handlers answer or throw.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PermanentError } from '@millrace/sdk';
import { LIMITS } from '@millrace/shared';
import { eventually } from '@millrace/testing';
import { createEngineFixture, onlyPhase, type EngineFixture } from './test-support/engine-fixture.ts';

const ONCE = { attempts: 1 } as const;
const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
let test: EngineFixture;

beforeAll(async () => {
  test = await createEngineFixture();
  await test.engine();
});

afterAll(async () => {
  await test.close();
});

/** Runs a flow of one phase to its end. */
async function runOnly(run: (ctx: { attempt: number }) => unknown, retry: object = ONCE) {
  const flowId = await test.start(test.define({ only: { retry, run } }));
  const {
    flow,
    phases: [phase],
  } = await test.ended(flowId);
  if (phase === undefined) throw new Error('there is no phase');
  return { flowId, flow, phase };
}

describe('a handler that answers', () => {
  it('completes its phase, and hands its result to those that need it', async () => {
    const flowId = await test.start(
      test.define({
        a: { run: () => ({ n: 1 }) },
        b: {
          needs: ['a'],
          run: (ctx: { outputs: Record<string, unknown>; idempotencyKey: string; workspace: string }) => [
            ctx.outputs,
            ctx.idempotencyKey.length,
            ctx.workspace,
          ],
        },
      }),
    );
    const { flow, phases } = await test.ended(flowId);
    expect([flow.status, phases.map((phase) => phase.output)]).toEqual(['completed', [{ n: 1 }, [{ a: { n: 1 } }, 38, 'default']]]);
    expect(await test.story(flowId)).toEqual([
      'flow.queued',
      'phase.queued a',
      'flow.started',
      'phase.started a',
      'phase.completed a',
      'phase.queued b',
      'phase.started b',
      'phase.completed b',
      'flow.completed',
    ]);
  });

  it('keeps nothing as null', async () => {
    expect((await runOnly(() => undefined)).phase).toMatchObject({ status: 'completed', output: null, attempts: 1 });
  });

  it('may answer as much as fits, to the byte', async () => {
    expect((await runOnly(() => 'x'.repeat(LIMITS.outputBytesMax - 2))).flow.status).toBe('completed');
  });
});

describe('a result that cannot be kept', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;

  it.each<[string, unknown, RegExp]>([
    ['is too large', 'x'.repeat(LIMITS.outputBytesMax - 1), /larger than 1048576 bytes/],
    ['goes in a circle', circle, /not JSON: .*circular/],
    ['has a BigInt', { n: 1n }, /not JSON: .*BigInt/],
    ['has a NUL', { text: 'a\0b' }, /NUL/],
    ['has a lone surrogate', ['\ud800'], /surrogate/],
    [
      'throws when it is written',
      {
        toJSON: () => {
          throw new Error('deaf');
        },
      },
      /not JSON: deaf/,
    ],
  ])('because it %s fails the phase at once, with a clear message', async (_, output, message) => {
    const { flow, phase } = await runOnly(() => output, QUICK);
    expect([flow.status, phase.status, phase.attempts]).toEqual(['failed', 'failed', 1]);
    expect(phase.error).toEqual({ code: 'output-invalid', message: expect.stringMatching(message) });
    expect(phase.error?.message).toMatch(/^the result cannot be kept: /);
  });

  it('does not spoil what is committed beside it', async () => {
    const deep = Array.from({ length: 6_000 }).reduce<unknown>((inner) => [inner], 0);
    const names = Array.from({ length: 20 }, (_, n) => test.define({ only: { retry: ONCE, run: () => (n % 4 === 0 ? deep : n) } }));
    const ids = await Promise.all(names.map((name) => test.start(name)));
    const states = await Promise.all(ids.map((id) => test.ended(id)));
    expect(states.filter((_, n) => n % 4 !== 0).map(({ flow, phases }) => [flow.status, phases[0]?.output])).toEqual(
      ids.map((_, n) => ['completed', n]).filter((_, n) => n % 4 !== 0),
    );
  });
});

describe('a handler that throws', () => {
  it.each<[string, unknown, string, string]>([
    ['an error', new TypeError('broken'), 'TypeError', 'broken'],
    ['null', null, 'error', 'something that is no Error was thrown: null'],
    ['undefined', undefined, 'error', 'something that is no Error was thrown: undefined'],
    ['a string with NUL', 'a\0b', 'error', 'something that is no Error was thrown: a\\0b'],
    [
      'an error that lies',
      Object.defineProperty(new Error('x'), 'message', {
        get: () => {
          throw new Error('deaf');
        },
      }),
      'Error',
      '',
    ],
    ['an object', { reason: 'x' }, 'error', 'something that is no Error was thrown: {"reason":"x"}'],
  ])('%s fails its attempt and says so', async (_, thrown, code, message) => {
    const { phase, flow } = await runOnly(() => {
      throw thrown;
    });
    expect(phase).toMatchObject({ status: 'failed', error: { code, message } });
    expect(flow).toMatchObject({ status: 'failed', error: { phase: 'only', code, message } });
  });

  it('is tried again until its attempts are used up', async () => {
    const { flowId, phase } = await runOnly((ctx) => {
      throw new Error(`attempt ${ctx.attempt}`);
    }, QUICK);
    expect(phase).toMatchObject({ status: 'failed', attempts: 3, error: { message: 'attempt 3' } });
    expect((await test.story(flowId)).filter((line) => line === 'phase.retrying only')).toHaveLength(2);
    const attempts = await test.database.main.query('SELECT attempt, outcome FROM millrace.attempts WHERE phase_id = $1 ORDER BY fence', [
      onlyPhase(flowId),
    ]);
    expect(attempts.rows).toEqual([1, 2, 3].map((attempt) => ({ attempt, outcome: 'failed' })));
  });

  it('completes when a later attempt does', async () => {
    const { phase } = await runOnly(({ attempt }) => {
      if (attempt < 3) throw new Error('not yet');
      return attempt;
    }, QUICK);
    expect(phase).toMatchObject({ status: 'completed', output: 3, attempts: 3, error: null });
  });

  it('is not tried again when it says that it is permanent', async () => {
    const { phase } = await runOnly(() => {
      throw new PermanentError('never');
    }, QUICK);
    expect(phase).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'PermanentError', message: 'never' } });
  });
});

describe('code that does not fit the flow', () => {
  it('because it is of another version leaves the phase to others at no cost', async () => {
    const flowId = await test.start(test.define({ only: { run: () => null } }), {}, 2);
    const phase = await eventually(async () => {
      const found = await test.database.main.query(
        'SELECT status, attempts, generation FROM millrace.phases WHERE id = $1 AND generation > 1',
        [onlyPhase(flowId)],
      );
      expect(found.rowCount).toBe(1);
      return found.rows[0] as unknown;
    });
    expect(phase).toEqual({ status: 'queued', attempts: 0, generation: 2 });
    expect((await test.read(flowId)).flow).toMatchObject({ status: 'queued', started_at: null });
  });

  it('because it throws while it is prepared fails the phase', async () => {
    const lock = () => {
      throw new Error('no lock for this input');
    };
    const { phases } = await test.ended(await test.start(test.define({ only: { retry: ONCE, lock, run: () => null } })));
    expect(phases[0]).toMatchObject({ status: 'failed', error: { message: 'no lock for this input' } });
  });
});
