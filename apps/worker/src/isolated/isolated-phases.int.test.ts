// Isolated phases on a real worker: what they can do, what they cannot do to it, and who outlives whom.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import {
  allEvents,
  createTestStack,
  eventually,
  flowEnded,
  readFlowBody,
  startFlow,
  type TestProcess,
  type TestStack,
} from '@millrace/testing';
import { dead, isAlive, isolatedSteps, TEST_FLOWS, type IsolatedSteps } from '../../../../test/support/isolated.ts';

// A process takes its time to start where many others run.
jest.setTimeout(30_000);

let stack: TestStack;
let worker: TestProcess;
let steps: IsolatedSteps;

beforeAll(async () => {
  stack = await createTestStack({ env: { MILLRACE_FLOWS: TEST_FLOWS, MILLRACE_ISOLATED_CONCURRENCY: '3' } });
  steps = isolatedSteps(stack);
  await stack.startApi();
  worker = await stack.startWorker();
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

const run = async (input: Record<string, unknown>) => flowEnded(stack.client, await steps.start(input));
const sql = async <Row extends object>(text: string, values: unknown[]) =>
  (await stack.database.database.main.query<Row>(text, values)).rows;

describe('an isolated phase', () => {
  it('runs in a process of its own with all of a context, and what needs it runs in the worker', async () => {
    const flow = await run({ mode: 'work' });
    expect(flow).toMatchObject({ status: 'completed', outputs: { bad: { attempt: 1 }, after: worker.pid } });
    const { pid } = flow.outputs['bad'] as { pid: number };
    expect(pid).not.toBe(worker.pid);
    await dead(pid);
    expect(await sql('SELECT phase FROM selftest_ledger WHERE key = $1', [flow.id])).toEqual([{ phase: 'bad' }]);
    const events = await allEvents(stack.client, flow.id);
    expect(events.find(({ type }) => type === 'log')).toMatchObject({ phase: 'bad', data: { message: 'at work' } });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.filter(({ type }) => type === 'phase.completed')).toHaveLength(2);
  });

  it('counts what it uses beside what the worker counts', async () => {
    const used = async () =>
      Number((await sql<{ sum: string | null }>("SELECT sum(amount) FROM millrace.usage WHERE kind = 'isolated_work'", []))[0]?.sum);
    const before = await used();
    for (const isolate of [false, true, true]) await run({ mode: 'work', isolate });
    expect((await used()) - before).toBe(3);
  });

  it('fails and is tried again like any other', async () => {
    const flow = await run({ mode: 'fail', attempts: 2 });
    expect(flow).toMatchObject({
      status: 'failed',
      error: { message: 'it fails as asked' },
      phases: [{ attempts: 2 }, { status: 'skipped' }],
    });
    const [first, second] = [await steps.kept(flow.id, 'pid-1'), await steps.kept(flow.id, 'pid-2')];
    expect(first).not.toBe(second);
  });

  it('gives its process back while it waits, for a time or for a child flow, and goes on in another', async () => {
    const flow = await run({ mode: 'wait' });
    expect(flow).toMatchObject({
      status: 'completed',
      phases: [{ attempts: 1 }, {}],
      outputs: { bad: { child: { status: 'completed' } } },
    });
    const [first, last] = [await steps.kept(flow.id, 'pid-1'), (flow.outputs['bad'] as { pid: number }).pid];
    expect(last).not.toBe(first);
    await dead(first);
    await dead(last);
  });

  it('obeys its soft limit', async () => {
    const flow = await run({ mode: 'obey', soft: 100 });
    expect(flow).toMatchObject({ status: 'failed', error: { code: 'timeout', message: 'the attempt was stopped at its soft time limit' } });
  });

  it('waits for a place, and goes back to the queue at no cost when there is none in time', async () => {
    const holders = await Promise.all([1, 2, 3].map(() => steps.start({ mode: 'obey' })));
    await Promise.all(holders.map((id) => steps.kept(id, 'pid-1')));
    const waiting = await steps.start({ mode: 'work' });
    await eventually(
      async () => {
        const reasons = (await allEvents(stack.client, waiting)).map(({ data }) => data['reason']);
        expect(reasons).toContain('isolation-full');
      },
      { withinMs: 10_000 },
    );
    await Promise.all(holders.map((id) => steps.cancel(id)));
    expect(await flowEnded(stack.client, waiting)).toMatchObject({ status: 'completed', phases: [{ attempts: 1 }, {}] });
  });

  it('prints into the log of the worker, but not without end', async () => {
    const id = await steps.start({ mode: 'print' });
    const told = [
      worker.logged(({ msg, flowId, stream }) => msg === 'a line on stderr' && flowId === id && stream === 'stderr'),
      worker.logged(({ msg, flowId, stream }) => msg === 'a line on stdout' && flowId === id && stream === 'stdout'),
      worker.logged(({ msg, flowId }) => msg?.includes('the rest is dropped') === true && flowId === id),
    ];
    expect((await flowEnded(stack.client, id)).outputs['bad']).toBe('printed');
    expect(await Promise.all(told)).toHaveLength(3);
  });
});

describe('a process that ends before its phase', () => {
  it.each([
    ['exits as if all were well', { mode: 'exit' }, 'exit code 0'],
    ['dies by a signal', { mode: 'crash' }, 'signal SIGKILL'],
    ['leaves a rejection to nobody', { mode: 'reject' }, 'exit code 1 (unhandled rejection: nobody caught this)'],
    ['takes more memory than it may', { mode: 'hoard', memoryMb: 64 }, 'signal SIGABRT (JavaScript heap out of memory)'],
  ])(
    'because it %s fails the attempt and harms nobody else',
    async (_, input, how) => {
      const neighbour = await startFlow(stack.client, 'selftest.sleep', { ms: 2_000 });
      const flow = await run({ ...input, attempts: 2 });
      expect(flow).toMatchObject({
        status: 'failed',
        error: { code: 'process-exited', message: `the process of the phase ended before the phase did: ${how}` },
        phases: [{ status: 'failed', attempts: 2 }, { status: 'skipped' }],
      });
      expect(await steps.attempts(flow.id)).toEqual([
        { outcome: 'failed', code: 'process-exited' },
        { outcome: 'failed', code: 'process-exited' },
      ]);
      expect(await sql('SELECT crashes FROM millrace.phases WHERE id = $1', [flow.phases[0]?.id])).toEqual([{ crashes: 0 }]);
      expect(await flowEnded(stack.client, neighbour)).toMatchObject({ status: 'completed', phases: [{ attempts: 1 }] });
    },
    30_000,
  );

  it('because it was killed from outside fails the attempt', async () => {
    const id = await steps.start({ mode: 'ignore' });
    process.kill(await steps.kept(id, 'pid-1'), 'SIGKILL');
    expect(await flowEnded(stack.client, id)).toMatchObject({ status: 'failed', error: { code: 'process-exited' } });
  });
});

describe('a handler that does not end by its hard limit', () => {
  it.each(['ignore', 'block'])('is killed with its process when it does nothing but %s', async (mode) => {
    const id = await steps.start({ mode, soft: 300, hard: 600 });
    const pid = await steps.kept(id, 'pid-1');
    const flow = await flowEnded(stack.client, id);
    expect(flow).toMatchObject({ status: 'failed', error: { code: 'timeout', message: 'the attempt did not end by its hard time limit' } });
    await dead(pid);
    expect(await steps.attempts(id)).toEqual([{ outcome: 'failed', code: 'timeout' }]);
  });

  it('is killed with all that it started', async () => {
    const id = await steps.start({ mode: 'breed', hard: 2_000 });
    const [pid, grandchild] = [await steps.kept(id, 'pid-1'), await steps.kept(id, 'grandchild')];
    expect([isAlive(pid), isAlive(grandchild)]).toEqual([true, true]);
    await flowEnded(stack.client, id);
    await dead(pid);
    await dead(grandchild);
  });
});

describe('a cancel', () => {
  it('stops a process that obeys', async () => {
    const id = await steps.start({ mode: 'obey' });
    const pid = await steps.kept(id, 'pid-1');
    await steps.cancel(id);
    expect(await steps.receiptsEnded(id)).toMatchObject([
      { phase: 'bad', how: 'stopped', seenAt: expect.any(String), endedAt: expect.any(String) },
    ]);
    await dead(pid);
  });

  it('kills processes that do not obey, whatever they do, after their time of grace', async () => {
    const ids = await Promise.all(['ignore', 'block'].map((mode) => steps.start({ mode })));
    const pids = await Promise.all(ids.map((id) => steps.kept(id, 'pid-1')));
    await Promise.all(ids.map((id) => steps.cancel(id)));
    for (const id of ids) {
      const [told] = await steps.receiptsEnded(id);
      expect(told).toMatchObject({ phase: 'bad', how: 'killed', worker: expect.stringContaining(`:${worker.pid}:`) });
      const graceMs = Date.parse(told?.endedAt ?? '') - Date.parse(told?.seenAt ?? '');
      expect(graceMs).toBeGreaterThan(4_900);
      expect(await readFlowBody(stack.client, id)).toMatchObject({ status: 'cancelled', phases: [{ status: 'cancelled' }, {}] });
    }
    await Promise.all(pids.map((pid) => dead(pid)));
  });
});
