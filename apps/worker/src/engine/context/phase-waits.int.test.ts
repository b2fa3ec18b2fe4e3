// ctx.sleep, ctx.waitFor and ctx.start with real engines: a waiting phase holds no slot, and survives the engine that ran it.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { PermanentError, type ChildFlow, type PhaseContext } from '@millrace/sdk';
import { cancelFlow, overdueWaits, sendSignal, settleChildren, wakePhases } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, gate, onlyPhase, type EngineFixture } from '../test-support/engine-fixture.ts';

let test: EngineFixture;

beforeAll(async () => {
  test = await createEngineFixture();
  await test.engine();
}, 60_000);

afterAll(async () => {
  await test.close();
});

const statusOf = async (flowId: string) => (await test.read(flowId)).phases[0]?.status;
const waiting = (flowId: string) =>
  eventually(async () => {
    expect(await statusOf(flowId)).toBe('waiting');
  });
const signal = async (flowId: string, name: string, body: unknown, declared = false) => {
  const outcome = await sendSignal(
    test.database,
    { flowId, workspace: 'default', name, bodyJson: JSON.stringify(body), by: 'test' },
    () => declared,
  );
  if (outcome.kind === 'sent') await test.dispatch(outcome.dispatches);
  return outcome.kind;
};
/** What the reconciler does when a phase's time is over. */
const passTime = async (flowId: string) => {
  await test.database.main.query("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [onlyPhase(flowId)]);
  await test.database.main.query(
    `UPDATE millrace.steps SET result = to_jsonb('2020-01-01T00:00:00.000Z'::text) WHERE phase_id = $1 AND name LIKE 'ctx.%'`,
    [onlyPhase(flowId)],
  );
  const due = await overdueWaits(test.database.hot, 100);
  const woken = await wakePhases(test.database.hot, { ids: due.map(({ id }) => id), reason: 'time', onlyDue: true });
  await test.dispatch(woken.dispatches);
};

describe('on a worker whose clock is an hour from that of PostgreSQL', () => {
  const HOUR_MS = 3_600_000;
  // A queue of its own: what BullMQ notes with the wrong time must not meet the other tests.
  let shifted: EngineFixture;
  beforeAll(async () => {
    shifted = await createEngineFixture();
    await shifted.engine();
  }, 60_000);
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await shifted.close();
  });

  const shiftClock = (byMs: number) => {
    const now = Date.now;
    jest.spyOn(Date, 'now').mockImplementation(() => now() + byMs);
  };
  const timesOf = async (flowId: string, type: string) => (await shifted.story(flowId)).filter((line) => line === `${type} only`).length;
  const leftMs = async (flowId: string) => {
    const found = await shifted.database.main.query<{ leftMs: number }>(
      `SELECT (extract(epoch FROM (awaits->>'until')::timestamptz - now()) * 1000)::float8 AS "leftMs" FROM millrace.phases WHERE id = $1`,
      [onlyPhase(flowId)],
    );
    return found.rows[0]?.leftMs ?? 0;
  };
  /** PostgreSQL's time comes to the end of the wait, to the millisecond. */
  const comeToEnd = async (flowId: string) => {
    await shifted.database.main.query(
      `WITH over AS (SELECT date_trunc('milliseconds', clock_timestamp()) AS at),
            kept AS (UPDATE millrace.steps SET result = to_jsonb(over.at) FROM over WHERE phase_id = $1 AND name LIKE 'ctx.%')
       UPDATE millrace.phases p SET due_at = over.at FROM over WHERE p.id = $1`,
      [onlyPhase(flowId)],
    );
    const woken = await wakePhases(shifted.database.hot, { ids: [onlyPhase(flowId)], reason: 'time', onlyDue: true });
    await shifted.dispatch(woken.dispatches);
  };

  it.each([
    ['behind', -HOUR_MS],
    ['ahead', HOUR_MS],
  ])('waits and wakes by the time of PostgreSQL: %s', async (_, byMs) => {
    shiftClock(byMs);
    const run = async (ctx: PhaseContext) => {
      await ctx.sleep('30m');
      return ctx.waitFor('go', { timeout: '30m' }).catch((error: { code?: string }) => error.code);
    };
    const flowId = await shifted.start(shifted.define({ only: { run } }));
    for (const wait of [1, 2]) {
      await eventually(async () => {
        expect(await timesOf(flowId, 'phase.waiting')).toBe(wait);
      });
      expect(Math.abs((await leftMs(flowId)) - HOUR_MS / 2)).toBeLessThan(HOUR_MS / 4);
      await comeToEnd(flowId);
    }
    expect((await shifted.ended(flowId)).phases[0]?.output).toBe('signal-timeout');
    expect(await timesOf(flowId, 'phase.started')).toBe(3);
  });
});

describe('ctx.sleep', () => {
  it('frees the worker, and the handler goes on after its steps', async () => {
    const calls: string[] = [];
    const run = async (ctx: PhaseContext) => {
      await ctx.step('before', () => calls.push('before'));
      await ctx.sleep('1h');
      await ctx.step('after', () => calls.push('after'));
      return ctx.attempt;
    };
    const flowId = await test.start(test.define({ only: { run } }));
    await waiting(flowId);
    expect((await test.read(flowId)).flow.status).toBe('waiting');
    await passTime(flowId);
    const { flow, phases } = await test.ended(flowId);
    expect([flow.status, phases[0]?.output, phases[0]?.attempts]).toEqual(['completed', 1, 1]);
    expect(calls).toEqual(['before', 'after']);
    expect(await test.story(flowId)).toEqual([
      'flow.queued',
      'phase.queued only',
      'flow.started',
      'phase.started only',
      'phase.waiting only',
      'phase.queued only',
      'phase.started only',
      'phase.completed only',
      'flow.completed',
    ]);
  });

  it('waits for what is left when it was woken too early', async () => {
    const flowId = await test.start(test.define({ only: { run: (ctx: PhaseContext) => ctx.sleep('1h') } }));
    await waiting(flowId);
    await test.dispatch((await wakePhases(test.database.hot, { ids: [onlyPhase(flowId)], reason: 'woken' })).dispatches);
    await eventually(async () => {
      expect((await test.story(flowId)).filter((line) => line === 'phase.waiting only')).toHaveLength(2);
    });
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
  });

  it('lets a step that runs beside it end before the handler is left', async () => {
    const done = gate();
    const run = async (ctx: PhaseContext) => {
      await Promise.all([ctx.sleep('1h'), ctx.step('beside', () => done.promise.then(() => 'kept'))]);
    };
    const flowId = await test.start(test.define({ only: { run } }));
    await eventually(async () => {
      expect(await statusOf(flowId)).toBe('running');
    });
    done.resolve();
    await waiting(flowId);
    const kept = await test.database.main.query("SELECT result FROM millrace.steps WHERE phase_id = $1 AND name = 'beside'", [
      onlyPhase(flowId),
    ]);
    expect(kept.rows).toEqual([{ result: 'kept' }]);
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
  });

  it('gives back a lock that is held around it', async () => {
    const run = (ctx: PhaseContext) => ctx.lock('bed', () => ctx.sleep('1h'));
    const flowId = await test.start(test.define({ only: { run } }));
    await waiting(flowId);
    await eventually(async () => {
      expect(await test.redis.exists(test.keys.lock('default', 'bed'))).toBe(0);
    });
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
  });
});

describe('ctx.waitFor', () => {
  const wait = (timeout?: '1h') => ({
    only: { run: (ctx: PhaseContext) => ctx.waitFor('go', timeout === undefined ? {} : { timeout }) },
  });

  it('answers what was sent', async () => {
    const flowId = await test.start(test.define(wait()));
    await waiting(flowId);
    expect(await signal(flowId, 'go', { by: 'Ann' })).toBe('sent');
    expect((await test.ended(flowId)).phases[0]?.output).toEqual({ by: 'Ann' });
    expect(await signal(flowId, 'go', 2)).toBe('not-found');
  });

  it('takes one that came before at once, if the definition names it', async () => {
    const started = gate();
    const mayWait = gate();
    const run = async (ctx: PhaseContext) => {
      started.resolve();
      await mayWait.promise;
      return ctx.waitFor('go');
    };
    const flowId = await test.start(test.define({ only: { run } }));
    await started.promise;
    expect(await signal(flowId, 'go', 1)).toBe('not-found');
    expect(await signal(flowId, 'go', 1, true)).toBe('sent');
    mayWait.resolve();
    expect((await test.ended(flowId)).phases[0]?.output).toBe(1);
    expect(await test.story(flowId)).not.toContain('phase.waiting only');
  });

  it('fails for good when nothing came in time, unless the handler says otherwise', async () => {
    const late = await test.start(test.define(wait('1h')));
    const caught = await test.start(
      test.define({ only: { run: (ctx: PhaseContext) => ctx.waitFor('go', { timeout: '1h' }).catch((error: Error) => error.name) } }),
    );
    for (const flowId of [late, caught]) {
      await waiting(flowId);
      await passTime(flowId);
    }
    expect((await test.ended(late)).phases[0]).toMatchObject({ status: 'failed', error: { code: 'signal-timeout' }, attempts: 1 });
    expect((await test.ended(caught)).phases[0]?.status).toBe('completed');
  });

  it('is woken by the first of several', async () => {
    const run = (ctx: PhaseContext) => Promise.race([ctx.waitFor('yes'), ctx.waitFor('no'), ctx.sleep('1h')]);
    const flowId = await test.start(test.define({ only: { run } }));
    await waiting(flowId);
    expect(await signal(flowId, 'no', 'refused')).toBe('sent');
    expect((await test.ended(flowId)).phases[0]?.output).toBe('refused');
  });
});

describe('a wait inside of a step', () => {
  it.each([
    ['ctx.sleep', (ctx: PhaseContext) => ctx.sleep('1h')],
    ['ctx.waitFor', (ctx: PhaseContext) => ctx.waitFor('go')],
    ['ctx.start', (ctx: PhaseContext) => ctx.start('nowhere', {})],
  ])('is refused rather than waited for until the time limit: %s', async (call, wait) => {
    const flowId = await test.start(test.define({ only: { run: (ctx: PhaseContext) => ctx.step('outer', () => wait(ctx)) } }));
    const [phase] = (await test.ended(flowId)).phases;
    expect(phase).toMatchObject({ status: 'failed', attempts: 1 });
    expect(phase?.error?.message).toBe(`${call} cannot wait inside of a step: call it beside the step`);
  });

  it('is none when the child flow is not waited for', async () => {
    const child = test.define({ only: { run: () => 1 } });
    const run = (ctx: PhaseContext) => ctx.step('outer', async () => (await ctx.start(child, {}, { wait: false })).status);
    const flowId = await test.start(test.define({ only: { run } }));
    expect((await test.ended(flowId)).phases[0]?.output).toBe('started');
  });
});

describe('ctx.start', () => {
  const outputs = (children: readonly ChildFlow[]) => children.map((child) => child.outputs['only']);

  it('starts child flows, waits for all without a slot, and answers their results', async () => {
    const child = test.define({ only: { run: (ctx: PhaseContext<number>) => ctx.input * 2 } } as never);
    const run = async (ctx: PhaseContext) => outputs(await Promise.all([1, 2, 3].map((n) => ctx.start(child, n))));
    const flowId = await test.start(test.define({ only: { run } }));
    expect((await test.ended(flowId)).phases[0]?.output).toEqual([2, 4, 6]);
    expect(await test.story(flowId)).toContain('phase.waiting only');
  });

  it('starts each once, however often the phase is tried', async () => {
    const child = test.define({ only: { run: () => 'child' } });
    const run = async (ctx: PhaseContext) => {
      const results = await Promise.all(['a', 'b'].map((key) => ctx.start(child, {}, { key })));
      if (ctx.attempt === 1) throw new Error('once more');
      return results.length;
    };
    const flowId = await test.start(test.define({ only: { run, retry: { attempts: 2, backoff: { type: 'fixed', delay: '10ms' } } } }));
    expect((await test.ended(flowId)).phases[0]).toMatchObject({ status: 'completed', output: 2, attempts: 2 });
    const made = await test.database.main.query('SELECT id FROM millrace.flows WHERE parent_phase_id = $1', [onlyPhase(flowId)]);
    expect(made.rowCount).toBe(2);
  });

  it('does not wait for one that it was told not to wait for', async () => {
    const held = gate();
    const child = test.define({ only: { run: () => held.promise } });
    const run = async (ctx: PhaseContext) => (await ctx.start(child, {}, { wait: false })).status;
    const flowId = await test.start(test.define({ only: { run } }));
    expect((await test.ended(flowId)).phases[0]?.output).toBe('started');
    held.resolve();
  });

  it.each([
    ['fail', 'failed', null],
    ['continue', 'completed', ['failed', 'broken']],
    ['ignore', 'completed', ['completed', undefined]],
  ] as const)('takes a failed child by its policy: %s', async (onFailure, status, output) => {
    const child = test.define({
      only: {
        run: () => {
          throw new PermanentError('broken');
        },
      },
    });
    const run = async (ctx: PhaseContext) => {
      const result = await ctx.start(child, {}, { onFailure });
      return [result.status, ...(result.error === undefined ? [] : [result.error.message])];
    };
    const flowId = await test.start(test.define({ only: { run } }));
    const ended = await test.ended(flowId);
    expect(ended.flow.status).toBe(status);
    if (output === null) expect(ended.phases[0]?.error).toMatchObject({ code: 'child-failed' });
    else expect(ended.phases[0]?.output).toEqual(output.filter((value) => value !== undefined));
  });

  it('fails at the first failure, while others still run', async () => {
    const held = gate();
    const [broken, slow] = [
      test.define({
        only: {
          run: () => {
            throw new PermanentError('no');
          },
        },
      }),
      test.define({ only: { run: () => held.promise } }),
    ];
    const run = (ctx: PhaseContext) => Promise.all([ctx.start(slow, {}), ctx.start(broken, {})]);
    const flowId = await test.start(test.define({ only: { run } }));
    expect((await test.ended(flowId)).flow.status).toBe('failed');
    held.resolve();
  });

  it('takes its children along when it is cancelled', async () => {
    const child = test.define({ only: { waitFor: { signal: 'never' } } });
    const flowId = await test.start(test.define({ only: { run: (ctx: PhaseContext) => ctx.start(child, {}) } }));
    await waiting(flowId);
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
    await eventually(async () => {
      const rows = await test.database.main.query<{ status: string }>('SELECT status FROM millrace.flows WHERE parent_phase_id = $1', [
        onlyPhase(flowId),
      ]);
      expect(rows.rows).toEqual([{ status: 'cancelled' }]);
    });
  });

  it.each([
    ['an unknown flow', (ctx: PhaseContext) => ctx.start('nowhere', {}), 'there is no flow definition "nowhere"'],
    ['itself for ever', (ctx: PhaseContext) => ctx.start('flow-self', {}), 'levels deep'],
  ])('refuses %s', async (what, run, message) => {
    const name = test.define({
      only: { run: what === 'itself for ever' ? (ctx: PhaseContext): Promise<unknown> => ctx.start(name, {}) : run },
    });
    const flowId = await test.start(name);
    const ended = await test.ended(flowId, 20_000);
    expect(ended.flow.status).toBe('failed');
    if (what === 'an unknown flow') expect(ended.phases[0]?.error?.message).toContain(message);
  });

  it('refuses a key that it has started another flow under', async () => {
    const [one, other] = [test.define({ only: { run: () => 1 } }), test.define({ only: { run: () => 2 } })];
    const run = async (ctx: PhaseContext) => {
      await ctx.start(one, {}, { key: 'same' });
      return ctx.start(other, {}, { key: 'same' });
    };
    const flowId = await test.start(test.define({ only: { run } }));
    expect((await test.ended(flowId)).phases[0]?.error?.message).toBe(
      `the key "same" of a child flow was used for another flow before: ${one}`,
    );
  });

  it.each([
    ['a key that is none', { 'not a key': 'x' }],
    ['a value that is too long', { key: 'x'.repeat(257) }],
    ['too many', Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`k${n}`, 'v']))],
  ])('refuses tags as the REST interface does: %s', async (_what, tags) => {
    const child = test.define({ only: { run: () => 1 } });
    const flowId = await test.start(test.define({ only: { run: (ctx: PhaseContext) => ctx.start(child, {}, { tags }) } }));
    const [phase] = (await test.ended(flowId)).phases;
    expect(phase).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { message: expect.stringContaining(`the tags of child flow ${child}`) },
    });
  });

  it('fans out to a thousand', async () => {
    const child = test.define({ only: { run: () => 1 } });
    const run = async (ctx: PhaseContext) => {
      const all = await Promise.all(Array.from({ length: 1_000 }, (_, n) => ctx.start(child, n)));
      return all.reduce((sum, each) => sum + Number(each.outputs['only']), 0);
    };
    const flowId = await test.start(test.define({ only: { run } }));
    expect((await test.ended(flowId, 60_000)).phases[0]?.output).toBe(1_000);
  }, 90_000);

  it('tells each parent once that its children have ended', async () => {
    await eventually(async () => {
      expect((await settleChildren(test.database, 100)).count).toBe(0);
    });
  });
});
