// Signals that come before their phase waits: kept at no cost, and delivered as soon as it does.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { inTransaction } from '../database.ts';
import { createStoreFixture, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import type { NewFlow } from './create-flows.ts';
import { pauseFlow, resumeFlow } from './pause-flow.ts';
import { rerunPhase } from './rerun-phase.ts';
import { deliverKept, sendSignal, undeliveredSignals } from './signals.ts';
import { suspendPhases } from './suspend-phases.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
}, 60_000);

afterAll(async () => {
  await store.close();
});

const WAIT = { attemptMax: 1, signal: 'go', waitTimeoutMs: 60_000 };
/** Work, and a wait for the signal `go` after it. */
const work = (changes: Partial<NewFlow> = {}) =>
  store.make([], {
    phases: [
      { name: 'work', needs: [], dependants: [1], attemptMax: 1, signal: null, waitTimeoutMs: null },
      { name: 'wait', needs: [0], dependants: [], ...WAIT },
    ],
    ...changes,
  });
const waitAtOnce = (changes: Partial<NewFlow> = {}) =>
  store.make([], { phases: [{ name: 'wait', needs: [], dependants: [], ...WAIT }], ...changes });
const target = ({ flowId }: MadeFlow) => ({ flowId, workspace: 'default', by: 'test' });
const send = async (flow: MadeFlow) =>
  (await sendSignal(store.database, { ...target(flow), name: 'go', bodyJson: '"sent"' }, () => true)).kind;
const finishWork = async (flow: MadeFlow) => store.complete(await store.claim([flow.phaseId(0)]));
const pause = (flow: MadeFlow) => pauseFlow(store.database, { ...target(flow), reason: null, until: null });
/** Names of the flows among these of which a signal may be delivered now. */
const found = async (...flows: MadeFlow[]) => {
  const kept = await undeliveredSignals(store.database.hot, 1_000);
  return flows.filter(({ flowId }) => kept.some((one) => one.flowId === flowId && one.name === 'go'));
};
/** What the reconciler does. */
const deliverAll = async () => {
  const outcomes = [];
  for (const kept of await undeliveredSignals(store.database.hot, 1_000)) outcomes.push(await deliverKept(store.database, kept));
  return outcomes;
};
const end = async (flow: MadeFlow, ordinal: number) => {
  const { status, output } = await store.phase(flow.phaseId(ordinal));
  return [status, output];
};

describe('a signal that comes early', () => {
  it('is delivered when its phase begins to wait', async () => {
    const flow = await work();
    expect(await send(flow)).toBe('sent');
    expect(await found(flow)).toEqual([]);
    await finishWork(flow);
    expect((await store.phase(flow.phaseId(1))).status).toBe('waiting');
    expect(await found(flow)).toEqual([flow]);
    await deliverAll();
    expect(await end(flow, 1)).toEqual(['completed', 'sent']);
    expect(await found(flow)).toEqual([]);
  });

  it('is delivered at the start time of its flow', async () => {
    const flow = await waitAtOnce({ runAt: new Date(Date.now() + 60_000).toISOString() });
    await send(flow);
    await deliverAll();
    expect(await end(flow, 0)).toEqual(['waiting', null]);
    await store.sql('UPDATE millrace.phases SET signal_at = now() WHERE flow_id = $1', [flow.flowId]);
    await deliverAll();
    expect(await end(flow, 0)).toEqual(['waiting', null]);
    expect(await found(flow)).toEqual([]);
    await store.sql('UPDATE millrace.flows SET run_at = now() WHERE id = $1', [flow.flowId]);
    await store.sql("UPDATE millrace.phases SET signal_at = signal_at - interval '1 minute' WHERE flow_id = $1", [flow.flowId]);
    await deliverAll();
    expect(await end(flow, 0)).toEqual(['completed', 'sent']);
  });

  it('is not for the next run', async () => {
    const flow = await work();
    await send(flow);
    await finishWork(flow);
    await deliverAll();
    await rerunPhase(store.database, { ...target(flow), phase: 'work' });
    await finishWork(flow);
    expect(await found(flow)).toEqual([]);
    expect(await end(flow, 1)).toEqual(['waiting', null]);
  });

  it('costs nothing as long as nobody waits for it', async () => {
    for (let count = 0; count < 40; count += 1) await send(await work());
    const [before, after] = await inTransaction(store.database.hot, async (client) => {
      // What this connection has read and not yet reported counts as well, so the difference is what matters.
      const readRows = async () => {
        const rows = await client.query<{ count: number }>(
          "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS count FROM pg_stat_xact_user_tables WHERE schemaname = 'millrace'",
        );
        return rows.rows[0]?.count;
      };
      const first = await readRows();
      await undeliveredSignals(client, 1_000);
      return [first, await readRows()];
    });
    expect(after).toBe(before);
  });
});

describe('a signal to a paused flow', () => {
  const stopAfterCommit = (flow: MadeFlow) => {
    const main = { query: () => Promise.reject(new Error('the process has ended')) };
    return resumeFlow({ transaction: store.database.transaction, main } as never, target(flow)).catch((error: Error) => error.message);
  };

  it('is found after the flow was resumed by a process that ended then', async () => {
    const [waiting, working] = [await waitAtOnce(), await work()];
    for (const flow of [waiting, working]) {
      await pause(flow);
      await send(flow);
    }
    expect(await found(waiting, working)).toEqual([]);
    for (const flow of [waiting, working]) expect(await stopAfterCommit(flow)).toBe('the process has ended');
    expect(await found(waiting, working)).toEqual([waiting]);
    await deliverAll();
    expect(await end(waiting, 0)).toEqual(['completed', 'sent']);
    await store.claim([working.phaseId(0)]).then((phases) => store.complete(phases));
    await deliverAll();
    expect(await end(working, 1)).toEqual(['completed', 'sent']);
  });

  it('is looked at once while the flow is paused, also when its phase begins to wait meanwhile', async () => {
    const flow = await work();
    const phases = await store.claim([flow.phaseId(0)]);
    await send(flow);
    await pause(flow);
    await store.complete(phases);
    expect(await found(flow)).toEqual([flow]);
    await deliverAll();
    expect(await found(flow)).toEqual([]);
    expect(await end(flow, 1)).toEqual(['waiting', null]);
    await stopAfterCommit(flow);
    await deliverAll();
    expect(await end(flow, 1)).toEqual(['completed', 'sent']);
  });

  it('wakes a handler that waits for it', async () => {
    const flow = await store.make([[]]);
    const [phase] = await store.claim([flow.phaseId(0)]);
    const awaits = { kind: 'signal' as const, until: null, names: ['go'], children: false, failuresSeen: 0 };
    await suspendPhases(store.database.hot, [{ id: flow.phaseId(0), fence: phase?.fence ?? 0, worker: 'worker-a', awaits }]);
    await pause(flow);
    await send(flow);
    expect(await found(flow)).toEqual([]);
    await stopAfterCommit(flow);
    expect(await found(flow)).toEqual([flow]);
    await deliverAll();
    expect((await store.phase(flow.phaseId(0))).status).toBe('queued');
    expect(await found(flow)).toEqual([]);
  });
});
