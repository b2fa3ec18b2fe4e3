// Workers that die or stop while handlers run in processes of their own, and handlers that block the event loop of a worker.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { allEvents, createTestStack, eventually, flowEnded, type TestStack } from '@millrace/testing';
import { dead, isolatedSteps, TEST_FLOWS, type IsolatedSteps } from '../support/isolated.ts';

let stack: TestStack;
let steps: IsolatedSteps;

beforeEach(async () => {
  stack = await createTestStack({ env: { MILLRACE_FLOWS: TEST_FLOWS, MILLRACE_STOP_TIMEOUT_MS: '3000' } });
  steps = isolatedSteps(stack);
  await stack.startApi();
}, 60_000);

afterEach(async () => {
  await stack.close();
}, 60_000);

describe('a worker with isolated phases', () => {
  it('takes their processes with it when it is killed, and they run again elsewhere', async () => {
    const first = await stack.startWorker();
    const ids = await Promise.all(['ignore', 'block'].map((mode) => steps.start({ mode, hard: 3_000 })));
    const pids = await Promise.all(ids.map((id) => steps.kept(id, 'pid-1')));
    first.signal('SIGKILL');
    await first.exited;
    await Promise.all(pids.map((pid) => dead(pid)));
    await stack.startWorker();
    for (const id of ids) {
      expect(await flowEnded(stack.client, id, 30_000)).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
      expect(await steps.attempts(id)).toEqual([
        { outcome: 'lost', code: null },
        { outcome: 'failed', code: 'timeout' },
      ]);
    }
  }, 60_000);

  it('gives them back at no cost and leaves no process when it stops', async () => {
    const worker = await stack.startWorker();
    const ids = await Promise.all(['obey', 'ignore', 'block'].map((mode) => steps.start({ mode })));
    const pids = await Promise.all(ids.map((id) => steps.kept(id, 'pid-1')));
    worker.signal('SIGTERM');
    expect(await worker.exited).toBe(0);
    await Promise.all(pids.map((pid) => dead(pid)));
    for (const id of ids) expect(await steps.attempts(id)).toEqual([{ outcome: 'interrupted', code: null }]);
  }, 60_000);
});

describe('a handler that blocks the event loop of its worker', () => {
  it('loses its lease, and another worker takes over', async () => {
    const workers = await Promise.all([stack.startWorker(), stack.startWorker()]);
    const id = await steps.start({ mode: 'block', isolate: false });
    const blocked = await steps.kept(id, 'pid-1');
    const other = workers.find(({ pid }) => pid !== blocked);
    await eventually(
      async () => {
        const starts = (await allEvents(stack.client, id)).filter(({ type }) => type === 'phase.started');
        expect(starts.map(({ data }) => String(data['worker']).split(':')[1])).toEqual([String(blocked), String(other?.pid)]);
      },
      { withinMs: 15_000 },
    );
    expect(await steps.attempts(id)).toEqual([{ outcome: 'lost', code: null }]);
    for (const worker of workers) worker.signal('SIGKILL');
  }, 60_000);
});
