// Workers that are killed, or stopped past their lease and woken: what they did counts once.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import {
  allEvents,
  createTestStack,
  eventually,
  flowEnded,
  phaseRunning,
  readFlowBody,
  startFlow,
  type TestProcess,
  type TestStack,
} from '@millrace/testing';
import { allCompleted, expectExactLedger, flowCounts, startLedgers } from '../support/ledger.ts';

/** The promise: a killed worker's phase runs again within this time. */
const TAKEOVER_MS = 15_000;

let stack: TestStack;

beforeEach(async () => {
  stack = await createTestStack();
  await stack.startApi();
}, 60_000);

afterEach(async () => {
  await stack.close();
}, 60_000);

async function workerOf(flowId: string, workers: readonly TestProcess[]): Promise<TestProcess> {
  const started = (await allEvents(stack.client, flowId)).findLast((event) => event.type === 'phase.started');
  const worker = workers.find(({ pid }) => String(started?.data['worker']).includes(`:${pid}:`));
  if (worker === undefined) throw new Error(`no worker for ${JSON.stringify(started)}`);
  return worker;
}

async function startedAgain(flowId: string): Promise<void> {
  await eventually(
    async () => {
      const starts = (await allEvents(stack.client, flowId)).filter((event) => event.type === 'phase.started');
      expect(starts).toHaveLength(2);
    },
    { withinMs: TAKEOVER_MS },
  );
}

describe('a worker that is killed', () => {
  it('has its phase run again by another within 15 s, at no cost of an attempt', async () => {
    const workers = await Promise.all([stack.startWorker(), stack.startWorker()]);
    const id = await startFlow(stack.client, 'selftest.sleep', { ms: 3_000 });
    await phaseRunning(stack.client, id);
    (await workerOf(id, workers)).signal('SIGKILL');
    await startedAgain(id);
    const flow = await flowEnded(stack.client, id);
    expect(flow).toMatchObject({ status: 'completed', phases: [{ attempts: 1 }] });
  }, 120_000);

  it('every 2 s loses and doubles nothing', async () => {
    const flowCount = 300;
    const workers = await Promise.all([
      stack.startWorker({ MILLRACE_FLOW_CONCURRENCY: '20' }),
      stack.startWorker({ MILLRACE_FLOW_CONCURRENCY: '20' }),
    ]);
    await startLedgers(stack, flowCount);
    for (let kills = 0; kills < 4 || (await flowCounts(stack))['completed'] !== flowCount; kills += 1) {
      if (kills === 30) throw new Error(`not done after 30 kills: ${JSON.stringify(await flowCounts(stack))}`);
      if (kills < 4) {
        workers[kills % 2]?.signal('SIGKILL');
        await workers[kills % 2]?.exited;
        workers[kills % 2] = await stack.startWorker({ MILLRACE_FLOW_CONCURRENCY: '20' });
      }
      // The rhythm of the fault itself, not a wait for something.
      await delay(2_000);
    }
    await expectExactLedger(stack, flowCount);
  }, 120_000);
});

describe('a worker that is stopped past its lease and woken', () => {
  it('can change nothing that others have taken over', async () => {
    const workers = await Promise.all([stack.startWorker(), stack.startWorker()]);
    const id = await startFlow(stack.client, 'selftest.sleep', { ms: 2_000 });
    await phaseRunning(stack.client, id);
    const zombie = await workerOf(id, workers);
    zombie.signal('SIGSTOP');
    await startedAgain(id);
    zombie.signal('SIGCONT');
    const flow = await flowEnded(stack.client, id);
    expect(flow.status).toBe('completed');
    // Both have finished by now: the zombie's timers fired as soon as it woke.
    await eventually(async () => {
      expect((await allEvents(stack.client, id)).at(-1)?.type).toBe('flow.completed');
    });
    expect((await allEvents(stack.client, id)).filter((event) => event.type === 'phase.completed')).toHaveLength(1);
  }, 120_000);

  it('does not double the effects of its open transactions', async () => {
    const flowCount = 200;
    const workers = await Promise.all([stack.startWorker(), stack.startWorker()]);
    await startLedgers(stack, flowCount);
    await eventually(
      async () => {
        expect((await flowCounts(stack))['completed']).toBeGreaterThan(5);
      },
      { withinMs: 90_000 },
    );
    workers[0]?.signal('SIGSTOP');
    await eventually(
      async () => {
        const lost = await stack.database.database.main.query("SELECT FROM millrace.attempts WHERE outcome = 'lost'");
        expect(lost.rowCount).toBeGreaterThan(0);
      },
      { withinMs: TAKEOVER_MS },
    );
    workers[0]?.signal('SIGCONT');
    await allCompleted(stack, flowCount, 120_000);
    await expectExactLedger(stack, flowCount);
  }, 300_000);
});

describe('a worker that is asked to stop', () => {
  it('gives its phases back at no cost and exits with 0', async () => {
    const first = await stack.startWorker({ MILLRACE_STOP_TIMEOUT_MS: '4000' });
    const id = await startFlow(stack.client, 'selftest.sleep', { ms: 8_000 });
    await phaseRunning(stack.client, id);
    first.signal('SIGTERM');
    expect(await first.exited).toBe(0);
    await stack.startWorker();
    const flow = await flowEnded(stack.client, id);
    expect(flow).toMatchObject({ status: 'completed', phases: [{ attempts: 1 }] });
    const reasons = (await allEvents(stack.client, id))
      .filter((event) => event.type === 'phase.queued')
      .map((event) => event.data['reason']);
    expect(reasons).toEqual([undefined, 'shutdown']);
  }, 120_000);
});

describe('a phase that kills its process', () => {
  it('kills two workers and not a third, and neither it nor those that were beside it keep others waiting', async () => {
    const over = Promise.withResolvers<void>();
    let isOver = false;
    let deaths = 0;
    const supervised = (async () => {
      while (!isOver && deaths < 10) {
        // It may take the deadly phase, and die, before it is found to be ready.
        // All six are suspects after the second death, and each runs in a process of its own: with fewer places chance would decide which has to wait.
        const worker = await stack.startWorker({ MILLRACE_ISOLATED_CONCURRENCY: '6' }).catch(() => null);
        if (worker !== null) await Promise.race([worker.exited, over.promise]);
        if (!isOver) deaths += 1;
      }
    })();
    const beside = await Promise.all([1, 2, 3, 4, 5].map(() => startFlow(stack.client, 'selftest.sleep', { ms: 120_000 })));
    await Promise.all(beside.map((id) => phaseRunning(stack.client, id)));
    const deadly = await startFlow(stack.client, 'selftest.crash');
    expect(await flowEnded(stack.client, deadly, 120_000)).toMatchObject({ phases: [{ status: 'quarantined', attempts: 0 }] });
    expect(deaths).toBe(2);
    const other = await flowEnded(stack.client, await startFlow(stack.client, 'selftest.chain'));
    expect(other.status).toBe('completed');
    const statuses = await Promise.all(beside.map(async (id) => (await readFlowBody(stack.client, id)).status));
    expect(statuses).toEqual(['running', 'running', 'running', 'running', 'running']);
    isOver = true;
    over.resolve();
    await supervised;
  }, 240_000);

  it('is quarantined after the third time, and its neighbours complete', async () => {
    const startOne = () => stack.startWorker({ MILLRACE_FLOW_CONCURRENCY: '5' });
    const neighbours = await Promise.all([1, 2, 3].map(() => startFlow(stack.client, 'selftest.sleep', { ms: 1_500 })));
    const deadly = await startFlow(stack.client, 'selftest.crash');
    // As a service manager would: whenever the worker dies, it is started again.
    let isOver = false;
    const supervised = (async () => {
      for (let deaths = 0; !isOver && deaths < 10; deaths += 1) {
        const worker = await startOne();
        await Promise.race([
          worker.exited,
          eventually(
            () => {
              expect(isOver).toBe(true);
            },
            { withinMs: 120_000 },
          ),
        ]);
      }
    })();
    const flow = await flowEnded(stack.client, deadly, 90_000);
    expect(flow).toMatchObject({
      status: 'failed',
      phases: [{ status: 'quarantined', attempts: 0 }],
      error: { code: 'crashed', phase: 'only' },
    });
    const lost = await stack.database.database.main.query("SELECT FROM millrace.attempts WHERE phase_id = $1 AND outcome = 'lost'", [
      flow.phases[0]?.id,
    ]);
    expect(lost.rowCount).toBe(3);
    const ended = await Promise.all(neighbours.map((id) => flowEnded(stack.client, id, 30_000)));
    expect(ended.map(({ status }) => status)).toEqual(['completed', 'completed', 'completed']);
    isOver = true;
    await supervised;
  }, 240_000);
});
