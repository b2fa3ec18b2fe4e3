// Workers as they announce themselves, and phases that wait for one with their code.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { pauseFlow, resumeFlow } from '../flows/pause-flow.ts';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { holdForCode, releaseForCode, renewAbsent } from './absent-code.ts';
import { announceWorker, deleteDeadWorkers, removeWorker, type WorkerAnnouncement } from './announce-worker.ts';
import { listWorkers } from './list-workers.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

const announce = (id: string, changes: Partial<WorkerAnnouncement> = {}) =>
  announceWorker(store.database.main, {
    id,
    host: 'here',
    pid: 7,
    startedAt: new Date(),
    concurrency: 100,
    running: 3,
    stopping: false,
    queues: ['flow-phase', 'data-import'],
    definitions: [{ name: 'shape', version: 1 }],
    ...changes,
  });
const silence = (id: string, time: string) =>
  store.sql('UPDATE millrace.workers SET seen_at = now() - $2::interval WHERE id = $1', [id, time]);
const list = (after: string | null = null, limit = 50) => listWorkers(store.database.main, { after, limit });
const held = async (id: string) => ((await store.phase(id)) as unknown as { held: string | null }).held;

describe('workers', () => {
  it('are listed with what they hold leases for, a page at a time', async () => {
    for (const id of ['list-a', 'list-b', 'list-c']) await announce(id);
    const flow = await store.make([[], []]);
    await store.claim([flow.phaseId(0), flow.phaseId(1)], { worker: 'list-b' });
    const page = await list('list-a', 1);
    expect(page).toMatchObject([
      {
        id: 'list-b',
        alive: true,
        stopping: false,
        concurrency: 100,
        definitions: [{ name: 'shape', version: 1 }],
        work: [
          { queue: 'flow-phase', id: flow.phaseId(0), subject_id: flow.flowId, workspace: 'default', name: 'p0' },
          { id: flow.phaseId(1), name: 'p1' },
        ],
      },
    ]);
    expect((await list('list-b', 5)).map(({ id, work }) => [id, work])).toEqual([['list-c', []]]);
  });

  it('count as dead when they are silent, are kept for a day, and come back whole', async () => {
    await announce('silent');
    await silence('silent', '16 seconds');
    const status = async () => (await list()).find(({ id }) => id === 'silent')?.alive;
    expect(await status()).toBe(false);
    expect(await deleteDeadWorkers(store.database.main)).toBe(0);
    await silence('silent', '25 hours');
    expect(await deleteDeadWorkers(store.database.main)).toBe(1);
    await announce('silent', { stopping: true });
    expect(await status()).toBe(true);
    await removeWorker(store.database.main, 'silent');
    expect(await status()).toBeUndefined();
  });
});

describe('phases whose code no live worker holds', () => {
  const definition = { name: 'absent', version: 2 };
  const start = async () => {
    const flow = await store.make([[]], { name: definition.name, version: definition.version });
    const [phase] = await store.claim([flow.phaseId(0)]);
    return { ...flow, id: flow.phaseId(0), fence: phase?.fence ?? 0 };
  };
  const hold = ({ id, fence }: { id: string; fence: number }) =>
    holdForCode(store.database, { id, fence, worker: WORKER, definition, reason: 'unknown-version' });
  const release = (definitions = [definition]) => releaseForCode(store.database, definitions, 10);

  it('wait in PostgreSQL at no cost of an attempt, until a worker that holds it lets them go', async () => {
    const [one, two] = [await start(), await start()];
    expect(await hold(one)).toMatchObject({ events: [{ type: 'phase.queued', data: { reason: 'unknown-version' } }] });
    await hold(two);
    expect(await store.phase(one.id)).toMatchObject({ status: 'queued', dispatched: false, attempts: 0, lease_owner: null, due_at: null });
    expect(await release([{ name: 'absent', version: 1 }])).toBe(0);
    expect(await held(one.id)).toBe('worker');
    expect(await release()).toBe(2);
    expect([await held(one.id), await held(two.id)]).toEqual([null, null]);
    expect(await store.sql('SELECT FROM millrace.absent_definitions')).toEqual([]);
    expect(await release()).toBe(0);
  });

  it('are let go in parts', async () => {
    const flows = [await start(), await start(), await start()];
    for (const flow of flows) await hold(flow);
    expect(await releaseForCode(store.database, [definition], 2)).toBe(2);
    expect(await releaseForCode(store.database, [definition], 2)).toBe(1);
    expect(await Promise.all(flows.map(({ id }) => held(id)))).toEqual([null, null, null]);
  });

  it('are not held when somebody alive holds it, when they are lost, or when their flow is paused', async () => {
    const flow = await start();
    await announce('knows', { definitions: [definition] });
    expect(await hold(flow)).toBeUndefined();
    await announce('knows', { definitions: [definition], stopping: true });
    expect(await hold({ ...flow, fence: flow.fence - 1 })).toBeUndefined();
    const pause = { flowId: flow.flowId, workspace: 'default', by: 'x' };
    await pauseFlow(store.database, { ...pause, reason: null, until: null });
    expect(await hold(flow)).toBeUndefined();
    await resumeFlow(store.database, pause);
    expect(await hold(flow)).toBeDefined();
    await removeWorker(store.database.main, 'knows');
    await release();
  });

  it('are found again when the list of absent definitions was lost', async () => {
    const flow = await start();
    await hold(flow);
    await store.sql('DELETE FROM millrace.absent_definitions');
    expect(await release()).toBe(0);
    expect(await renewAbsent(store.database.main)).toBe(1);
    expect(await renewAbsent(store.database.main)).toBe(0);
    expect(await release()).toBe(1);
    expect(await held(flow.id)).toBeNull();
  });

  it('stay held by the pause of their flow', async () => {
    const flow = await start();
    await hold(flow);
    const pause = { flowId: flow.flowId, workspace: 'default', by: 'x' };
    await pauseFlow(store.database, { ...pause, reason: null, until: null });
    expect(await release()).toBe(0);
    expect(await held(flow.id)).toBe('pause');
    await resumeFlow(store.database, pause);
    expect(await held(flow.id)).toBeNull();
  });
});
