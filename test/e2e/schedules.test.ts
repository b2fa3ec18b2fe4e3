// Schedules on real processes: one API and two workers, of which none may be there when a time comes.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestStack, eventually, flowEnded, type TestProcess, type TestStack } from '@millrace/testing';

type FireBody = { outcome: string; flowId: string | null; dueAt: string; reason: string | null };

let stack: TestStack;
let workers: TestProcess[];
/** Daily, at an hour that does not come while the tests run. */
const QUIET = `0 ${(new Date().getUTCHours() + 12) % 24} * * *`;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.startApi();
  workers = await Promise.all([stack.startWorker(), stack.startWorker()]);
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

async function createSchedule(changes: object = {}): Promise<string> {
  const answer = await stack.client.post<{ id: string }>('/v1/schedules', {
    flow: 'selftest.noop',
    input: {},
    cron: QUIET,
    ...changes,
  });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return answer.body.id;
}

/** As if the next time were that far from now. */
const dueIn = (id: string, interval: string) =>
  stack.database.database.main.query(
    "UPDATE millrace.schedules SET next_at = date_trunc('milliseconds', now() + $2::interval) WHERE id = $1",
    [id, interval],
  );
const fires = async (id: string) => (await stack.client.get<{ items: FireBody[] }>(`/v1/schedules/${id}/fires`)).body.items;
const firesOnce = (id: string, count: number) =>
  eventually(
    async () => {
      const found = await fires(id);
      if (found.length < count) throw new Error(`${found.length} fires`);
      return found;
    },
    { withinMs: 20_000 },
  );

describe('a schedule', () => {
  it('runs its flow at its time, once, and now when it is asked to', async () => {
    const id = await createSchedule({ name: 'on time' });
    await dueIn(id, '2 seconds');
    const [fire] = await firesOnce(id, 1);
    expect(fire).toMatchObject({ outcome: 'started', reason: null });
    expect((await flowEnded(stack.client, fire?.flowId ?? '')).status).toBe('completed');
    const run = await stack.client.post<{ id: string }>(`/v1/schedules/${id}/run`);
    expect((await flowEnded(stack.client, run.body.id)).status).toBe('completed');
    expect((await fires(id)).map(({ flowId }) => flowId)).toEqual([run.body.id, fire?.flowId]);
  }, 60_000);

  it('cancels the flow before, which a worker is busy with', async () => {
    const id = await createSchedule({ name: 'impatient', flow: 'selftest.sleep', input: { ms: 600_000 }, overlap: 'cancel-previous' });
    await dueIn(id, '0');
    const [first] = await firesOnce(id, 1);
    await eventually(async () => {
      const { body } = await stack.client.get<{ status: string }>(`/v1/flows/${first?.flowId ?? ''}`);
      expect(body.status).toBe('running');
    });
    await dueIn(id, '0');
    const [second] = await eventually(async () => {
      const found = await fires(id);
      expect(found.map(({ outcome }) => outcome)).toEqual(['started', 'started']);
      return found;
    });
    expect((await flowEnded(stack.client, first?.flowId ?? '')).status).toBe('cancelled');
    await stack.client.post(`/v1/flows/${second?.flowId ?? ''}/cancel`);
  }, 60_000);

  it('reports what nobody was there to fire, and catches up as it was told', async () => {
    const [none, last] = [await createSchedule({ name: 'none' }), await createSchedule({ name: 'last', catchUp: 'last' })];
    await Promise.all(workers.map((worker) => worker.stop()));
    for (const id of [none, last]) await dueIn(id, '-3 days');
    const worker = await stack.startWorker();
    await worker.logged((entry) => entry.msg === 'times of a schedule were missed' && entry['scheduleId'] === none);
    expect(new Set((await firesOnce(none, 3)).map(({ outcome }) => outcome))).toEqual(new Set(['missed']));
    const [newest, ...older] = await firesOnce(last, 3);
    expect(newest?.outcome).toBe('started');
    expect(new Set(older.map(({ outcome }) => outcome))).toEqual(new Set(['missed']));
    expect((await stack.client.get(`/v1/schedules/${last}`)).body).toMatchObject({
      missedCount: older.length,
      lastRun: { flowId: newest?.flowId },
    });
    expect((await flowEnded(stack.client, newest?.flowId ?? '')).status).toBe('completed');
  }, 60_000);
});
