// What is left of deleted flows over REST: those that were archived can be read, by their workspace; of the others there is nothing.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deleteExpired } from '@millrace/store';
import { ask, post } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

/** Starts a flow, ends it and deletes it as a worker would. */
async function deletedFlow(archive: boolean): Promise<string> {
  const accepted = await post(api, '/v1/flows', { json: { flow: 'test.one', input: {} }, headers: { 'content-type': 'application/json' } });
  expect(accepted.status).toBe(202);
  const id = String(accepted.json['id']);
  await api.database.main.query("/* forged */ UPDATE millrace.flows SET status = 'completed', finished_at = now() WHERE id = $1", [id]);
  const expiry = {
    lane: { workspace: 'default', name: 'test.one' },
    below: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    endedBefore: new Date(Date.now() + 60_000),
    countedOut: null,
    archive,
  };
  expect(await deleteExpired(api.database, expiry, null)).toMatchObject({ deleted: 1 });
  return id;
}

describe('a flow that was deleted', () => {
  it.each(['', '/events', '/explain', '/progress'])('is not found at its address%s', async (suffix) => {
    const id = await deletedFlow(false);
    expect((await ask(api, { path: `/v1/flows/${id}${suffix}` })).status).toBe(404);
    expect((await ask(api, { path: `/v1/archive/flows/${id}` })).status).toBe(404);
  });

  it('ends a stream that asks for it with 404', async () => {
    const id = await deletedFlow(false);
    const answer = await ask(api, { path: `/v1/flows/${id}/events`, headers: { accept: 'text/event-stream' } });
    expect(answer.status).toBe(404);
  });
});

describe('a flow that was archived', () => {
  it('is read as it was, with its events', async () => {
    const id = await deletedFlow(true);
    const answer = await ask(api, { path: `/v1/archive/flows/${id}` });
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      id,
      flow: 'test.one',
      status: 'completed',
      outputsOmitted: false,
      document: { id, input: {}, status: 'completed' },
      links: { self: `/v1/archive/flows/${id}` },
    });
    expect(answer.json['events']).toMatchObject([{ seq: 1, type: 'flow.queued', flowId: id }, { seq: 2 }]);
    expect((await ask(api, { path: `/v1/flows/${id}` })).status).toBe(404);
  });

  it('is listed by page, newest first, for its workspace alone', async () => {
    const ids = [await deletedFlow(true), await deletedFlow(true)];
    const first = await ask(api, { path: '/v1/archive/flows?flow=test.one&limit=1' });
    expect(first.json['items']).toMatchObject([{ id: ids[1] }]);
    const second = await ask(api, { path: `/v1/archive/flows?flow=test.one&limit=1&cursor=${String(first.json['nextCursor'])}` });
    expect(second.json['items']).toMatchObject([{ id: ids[0] }]);
    const foreign = await api.newKey({ workspace: 'elsewhere', role: 'admin' });
    expect((await ask(api, { path: `/v1/archive/flows/${ids[0] ?? ''}`, key: foreign })).status).toBe(404);
    expect((await ask(api, { path: '/v1/archive/flows', key: foreign })).json['items']).toEqual([]);
  });
});
