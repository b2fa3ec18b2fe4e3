// Workers as they announce themselves, and phases that wait for one with their code.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { unclaimed } from '../flows/backlog.ts';
import { claimPhases } from '../flows/claim-phases.ts';
import { pauseFlow, resumeFlow } from '../flows/pause-flow.ts';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { codeKeys, noteAbsent, releaseForCode, renewAbsent } from './absent-code.ts';
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

describe('phases that come to a worker without their code', () => {
  const definition = { name: 'absent', version: 2 };
  const lease = { worker: WORKER, leaseMs: 10_000, holds: codeKeys([{ name: 'absent', version: 1 }]) };
  const start = async () => {
    const flow = await store.make([[]], { name: definition.name, version: definition.version });
    return { ...flow, id: flow.phaseId(0) };
  };
  const come = async (flow: { id: string }) => {
    const [row] = await store.sql<{ generation: number }>('SELECT generation FROM millrace.phases WHERE id = $1', [flow.id]);
    const outcome = await claimPhases(store.database.hot, [{ id: flow.id, generation: row?.generation ?? -1 }], lease);
    await noteAbsent(store.database.main, outcome.absent);
    return outcome;
  };
  const release = (definitions = [definition], max = 10) =>
    releaseForCode(store.database.main, definitions, { releaseMax: max, takeMax: max });
  const heldOf = (...flows: { id: string }[]) => Promise.all(flows.map(({ id }) => held(id)));

  beforeEach(async () => {
    await store.sql('DELETE FROM millrace.workers');
  });

  it('are not begun, and wait in PostgreSQL until a worker that holds it lets them go', async () => {
    const [one, two] = [await start(), await start()];
    expect(await come(one)).toEqual({ results: [{ kind: 'stale' }], subjects: [], events: [], absent: [definition] });
    await come(two);
    expect(await store.phase(one.id)).toMatchObject({ status: 'queued', dispatched: false, attempts: 0, lease_owner: null, due_at: null });
    expect(await store.flow(one.flowId)).toMatchObject({ status: 'queued', started_at: null });
    expect(await release([{ name: 'absent', version: 1 }])).toEqual({ released: 0, taken: [], isFull: false });
    expect(await held(one.id)).toBe('worker');
    expect(await release()).toMatchObject({ released: 2, taken: [] });
    expect(await heldOf(one, two)).toEqual([null, null]);
    expect(await store.sql('SELECT FROM millrace.absent_definitions')).toEqual([]);
    expect(await release()).toMatchObject({ released: 0 });
  });

  it('are let go in parts', async () => {
    const flows = [await start(), await start(), await start()];
    for (const flow of flows) await come(flow);
    expect(await release([definition], 2)).toMatchObject({ released: 2 });
    expect(await release([definition], 2)).toMatchObject({ released: 1 });
    expect(await heldOf(...flows)).toEqual([null, null, null]);
  });

  it('are taken without the queue by one that holds it while another does not, as many as it has room for', async () => {
    await announce('knows', { definitions: [definition] });
    await announce('knows not', { definitions: [{ name: 'absent', version: 3 }] });
    const flows = [await start(), await start(), await start()];
    for (const flow of flows) await come(flow);
    expect(await release([definition], 0)).toEqual({ released: 0, taken: [], isFull: true });
    const [first, second] = [await release([definition], 2), await release([definition], 2)];
    expect([first.isFull, second.isFull]).toEqual([true, false]);
    const taken = [...first.taken, ...second.taken];
    expect(taken.map(({ id }) => id)).toEqual(flows.map(({ id }) => id));
    const outcome = await claimPhases(store.database.hot, taken, { ...lease, holds: codeKeys([definition]) });
    expect(outcome.results.map(({ kind }) => kind)).toEqual(['claimed', 'claimed', 'claimed']);
  });

  it('are looked for by the reconciler when the one that took them died before it had begun', async () => {
    await announce('knows not', { definitions: [] });
    const flow = await start();
    await come(flow);
    const { taken } = await release();
    await store.sql("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [flow.id]);
    expect(await unclaimed(store.database.hot, 10)).toEqual(taken);
  });

  it('go to the backlog once every live worker holds it', async () => {
    await announce('knows', { definitions: [definition] });
    await announce('stops', { definitions: [], stopping: true });
    await announce('is dead', { definitions: [] });
    await silence('is dead', '16 seconds');
    const flow = await start();
    await come(flow);
    expect(await release()).toMatchObject({ released: 1, taken: [] });
  });

  it('are held for the pause when their flow is paused', async () => {
    await announce('knows not', { definitions: [] });
    const flow = await start();
    await come(flow);
    const pause = { flowId: flow.flowId, workspace: 'default', by: 'x' };
    await pauseFlow(store.database, { ...pause, reason: null, until: null });
    expect((await release()).taken).toEqual([]);
    expect(await held(flow.id)).toBe('pause');
    await come(flow);
    expect(await held(flow.id)).toBe('pause');
    await resumeFlow(store.database, pause);
    expect(await held(flow.id)).toBeNull();
  });

  it('are found again when the list of absent definitions was lost', async () => {
    const flow = await start();
    await come(flow);
    await store.sql('DELETE FROM millrace.absent_definitions');
    expect(await release()).toMatchObject({ released: 0 });
    expect(await renewAbsent(store.database.main)).toBe(1);
    expect(await renewAbsent(store.database.main)).toBe(0);
    expect(await release()).toMatchObject({ released: 1 });
    expect(await held(flow.id)).toBeNull();
  });
});
