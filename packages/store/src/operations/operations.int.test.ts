// Operations as they are handed out and stepped: one worker at a time, each step once or not at all.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '@millrace/shared';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { failPhase } from '../flows/fail-phase.ts';
import { actOnFlows } from './act-on-flows.ts';
import { createOperation, type NewOperation } from './create-operation.ts';
import { listOperations, readOperation, stopOperation } from './read-operations.ts';
import { stepOperation, type OperationChange } from './step-operation.ts';
import type { StoredOperation } from './stored-operation.ts';
import { giveBackOperation, pruneOperations, takeOperation } from './take-operation.ts';
import { deadOfFlows, judgeRuns, watchRuns } from './watch-runs.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

beforeEach(async () => {
  await store.sql('DELETE FROM millrace.operations');
});

const LEASE_MS = 10_000;
const take = (worker = 'one', leaseMs = LEASE_MS) => takeOperation(store.database.main, { worker, leaseMs });
const read = async (id: string) => readOperation(store.database.main, { id, workspace: 'default' });

async function create(changes: Partial<NewOperation> = {}): Promise<string> {
  const created = await createOperation(
    store.database,
    {
      workspace: 'default',
      createdBy: 'test',
      kind: 'cancel',
      selection: { asked: { filter: { flow: 'x' } }, flows: { flow: 'x' } },
      incidents: null,
      ratePerSecond: 100,
      total: null,
      canary: false,
      ...changes,
    },
    { idempotency: null, answer: (stored) => ({ status: 202, body: stored.id }) },
  );
  if (created.kind !== 'created') throw new Error(created.kind);
  return String(created.body);
}

async function taken(worker?: string, leaseMs?: number): Promise<StoredOperation> {
  const operation = await take(worker, leaseMs);
  if (operation === undefined) throw new Error('no operation was due');
  return operation;
}

const held = ({ id, fence }: StoredOperation) => ({ id, fence, leaseMs: LEASE_MS });
const step = (operation: StoredOperation, change: OperationChange) =>
  stepOperation(store.database, held(operation), () => Promise.resolve({ change, result: 'stepped' }));

describe('an operation', () => {
  it('is with one worker at a time, and with the next one after its lease', async () => {
    const id = await create();
    const first = await taken('one', -1_000);
    expect(first).toMatchObject({ id, status: 'running', fence: '1', failures: 1, started_at: expect.any(Date) });
    const second = await taken('two');
    expect(second).toMatchObject({ id, fence: '2', failures: 2 });
    expect(await take()).toBeUndefined();
    expect(await step(first, { done: 1 })).toBeUndefined();
    expect(await step(second, { done: 1, succeeded: 1 })).toBe('stepped');
    await giveBackOperation(store.database.main, held(first), { waitMs: 0, failed: false });
    expect(await take()).toBeUndefined();
    await giveBackOperation(store.database.main, held(second), { waitMs: 0, failed: false });
    expect(await read(id)).toMatchObject({ done: 1, succeeded: 1 });
    expect(await taken()).toMatchObject({ id, fence: '3', failures: 1 });
  });

  it('is taken once by many workers that ask at the same time', async () => {
    await Promise.all([create(), create(), create()]);
    const all = await Promise.all(Array.from({ length: 12 }, (_, n) => take(`worker-${n}`)));
    const ids = all.flatMap((operation) => (operation === undefined ? [] : [operation.id]));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThan(0);
  });

  it('keeps nothing of a step that fails', async () => {
    await create();
    const flow = await store.make([[]]);
    const operation = await taken();
    const failing = stepOperation(store.database, held(operation), async (client) => {
      await actOnFlows(client, { action: 'cancel', workspace: 'default', by: 'test', flowIds: [flow.flowId], apart: false });
      throw new Error('the worker dies');
    });
    await expect(failing).rejects.toThrow('the worker dies');
    expect((await store.flow(flow.flowId)).status).toBe('queued');
    expect(await read(operation.id)).toMatchObject({ done: 0, failures: 1 });
  });

  it('ends once, with a total that is not below what was done', async () => {
    const id = await create({ total: { count: 2, capped: false } });
    const operation = await taken();
    await step(operation, { done: 3, skipped: 1, succeeded: 2, end: 'completed' });
    expect(await read(id)).toMatchObject({ status: 'completed', total: 3, done: 3, skipped: 1, finished_at: expect.any(Date) });
    expect(await step(operation, { done: 1 })).toBeUndefined();
    expect(await take()).toBeUndefined();
  });

  it('is stopped between two steps, and stays so', async () => {
    const id = await create();
    const operation = await taken();
    expect(await stopOperation(store.database, { id, workspace: 'elsewhere', by: 'me' })).toEqual({ kind: 'not-found' });
    expect(await stopOperation(store.database, { id: newId(), workspace: 'default', by: 'me' })).toEqual({ kind: 'not-found' });
    expect(await stopOperation(store.database, { id, workspace: 'default', by: 'me' })).toMatchObject({
      kind: 'stopped',
      operation: { status: 'stopped', message: 'stopped by me' },
    });
    expect(await step(operation, { done: 1 })).toBeUndefined();
    await giveBackOperation(store.database.main, held(operation), { waitMs: 0, failed: false });
    expect(await take()).toBeUndefined();
    expect(await stopOperation(store.database, { id, workspace: 'default', by: 'me' })).toEqual({ kind: 'refused', status: 'stopped' });
  });

  it('is listed, newest first, in its workspace only, and forgotten when it is old', async () => {
    const [first, second] = [await create(), await create({ kind: 'purge' })];
    const list = (page: object = {}) => listOperations(store.database.main, { workspace: 'default', limit: 10, ...page });
    expect((await list()).map(({ id }) => id)).toEqual([second, first]);
    expect((await list({ before: second })).map(({ id }) => id)).toEqual([first]);
    expect((await list({ kinds: ['purge'] })).map(({ id }) => id)).toEqual([second]);
    expect(await list({ statuses: ['completed'] })).toEqual([]);
    expect(await listOperations(store.database.main, { workspace: 'elsewhere', limit: 10 })).toEqual([]);
    await stopOperation(store.database, { id: first, workspace: 'default', by: 'me' });
    expect(await pruneOperations(store.database.main, { days: 1, limit: 10 })).toBe(0);
    await store.sql("UPDATE millrace.operations SET finished_at = now() - interval '2 days' WHERE id = $1", [first]);
    expect(await pruneOperations(store.database.main, { days: 1, limit: 10 })).toBe(1);
    expect((await list()).map(({ id }) => id)).toEqual([second]);
  });
});

describe('an action on several flows', () => {
  const act = (flowIds: string[], changes: object = {}) =>
    store.database.transaction((client) =>
      actOnFlows(client, { action: 'cancel', workspace: 'default', by: 'test', flowIds, apart: false, ...changes }),
    );

  it('changes those that it may and skips the others', async () => {
    const [open, foreign, over] = [await store.make([[]]), await store.make([[]], { workspace: 'elsewhere' }), await store.make([[]])];
    await store.complete(await store.claim([over.phaseId(0)]));
    const outcome = await act([over.flowId, open.flowId, foreign.flowId, newId()]);
    expect(outcome).toMatchObject({ changed: [open.flowId], skipped: 3, failed: 0, events: [{ type: 'flow.cancelled' }] });
    expect((await store.flow(foreign.flowId)).status).toBe('queued');
  });

  it('can keep one that cannot be changed at all from spoiling the others', async () => {
    const [good, bad, last] = [await store.make([[]]), await store.make([[]]), await store.make([[]])];
    // An event with the number that comes next is in the way.
    await store.sql(
      "INSERT INTO millrace.events (subject_id, seq, workspace, type, at, data) VALUES ($1, 3, 'default', 'log', now(), '{}')",
      [bad.flowId],
    );
    const ids = [good, bad, last].map((flow) => flow.flowId);
    await expect(act(ids)).rejects.toThrow('duplicate key');
    expect(await act(ids, { apart: true })).toMatchObject({
      changed: [good.flowId, last.flowId],
      failed: 1,
      reason: expect.stringContaining('duplicate key'),
    });
    expect((await store.flow(bad.flowId)).status).toBe('queued');
  });
});

describe('watched runs', () => {
  async function fail(phaseId: string, message: string) {
    const [phase] = await store.claim([phaseId]);
    await failPhase(store.database, {
      id: phaseId,
      fence: phase?.fence ?? 0,
      worker: WORKER,
      error: { code: 'E', message },
      retryDelayMs: null,
    });
  }

  /** A flow of two phases in a row that failed in the first one and was replayed. */
  async function replayed(operationId: string) {
    const flow = await store.make([[], [0]]);
    await fail(flow.phaseId(0), 'no order 1');
    await store.database.transaction(async (client) => {
      const dead = await deadOfFlows(client, [flow.flowId]);
      expect(dead).toMatchObject([{ flowId: flow.flowId, phaseIds: [flow.phaseId(0)] }]);
      await actOnFlows(client, { action: 'retry', workspace: 'default', by: 'test', flowIds: [flow.flowId], apart: false });
      await watchRuns(client, operationId, dead);
    });
    return flow;
  }

  it('are judged by what becomes of the phases that were dead', async () => {
    const id = await create({ kind: 'replay', incidents: [] });
    const [open, recovered, returned, otherwise, later, cancelled, retried] = [
      await replayed(id),
      await replayed(id),
      await replayed(id),
      await replayed(id),
      await replayed(id),
      await replayed(id),
      await replayed(id),
    ];
    const judge = () => store.database.transaction((client) => judgeRuns(client, id));
    expect(await judge()).toEqual({ open: 7, recovered: 0, returned: 0, otherwise: 0, unjudged: 0 });
    await store.complete(await store.claim([recovered.phaseId(0)]));
    await fail(returned.phaseId(0), 'no order 77');
    await fail(otherwise.phaseId(0), 'something else');
    await store.complete(await store.claim([later.phaseId(0)]));
    await fail(later.phaseId(1), 'no order 1');
    await act(cancelled.flowId);
    await fail(retried.phaseId(0), 'no order 1');
    await retry(retried.flowId);
    expect(await judge()).toEqual({ open: 1, recovered: 1, returned: 1, otherwise: 2, unjudged: 2 });
    expect(await judge()).toEqual({ open: 1, recovered: 0, returned: 0, otherwise: 0, unjudged: 0 });
    await store.sql('UPDATE millrace.phases SET cause = NULL WHERE flow_id = $1', [open.flowId]);
    await fail(open.phaseId(0), 'no order 1');
    await store.sql('UPDATE millrace.phases SET cause = NULL WHERE flow_id = $1', [open.flowId]);
    expect(await judge()).toMatchObject({ open: 1 });
  });

  const act = (flowId: string) =>
    store.database.transaction((client) =>
      actOnFlows(client, { action: 'cancel', workspace: 'default', by: 'test', flowIds: [flowId], apart: false }),
    );
  const retry = (flowId: string) =>
    store.database.transaction((client) =>
      actOnFlows(client, { action: 'retry', workspace: 'default', by: 'test', flowIds: [flowId], apart: false }),
    );
});
