// The event log as JSON pages, and who may read which log in either form.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { UpdatePublisher } from '@millrace/redis';
import { newGroupId } from '@millrace/shared';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { createEventWriter, type EventWriter } from '../streams/test-support/event-writer.ts';
import { startStreamServer, type StreamServer } from '../streams/test-support/stream-server.ts';

let testDatabase: TestDatabase;
let writer: EventWriter;
let server: StreamServer;
let flowId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  const silent: UpdatePublisher = {
    heard: (subjects) => Promise.resolve(subjects.map(() => true)),
    publishEvents: () => Promise.resolve(),
    publishProgress: () => Promise.resolve(),
    publishControl: () => Promise.resolve(),
  };
  writer = createEventWriter({ database: testDatabase.database, updates: silent });
  server = await startStreamServer({ database: testDatabase.database });
  flowId = await writer.newFlow();
  await writer.append(flowId, ['log', 'phase.completed', 'log', 'flow.completed', 'log', 'log', 'log', 'log']);
});

afterAll(async () => {
  await server.stop();
  await testDatabase.drop();
});

type Page = { items: { seq: number; type: string }[]; nextCursor: string | null };

async function read(query = '', headers: Record<string, string> = {}): Promise<{ status: number; body: Page & { code?: string } }> {
  const response = await fetch(server.url(flowId, query), { headers });
  return { status: response.status, body: (await response.json()) as Page & { code?: string } };
}

const seqs = (page: Page) => page.items.map(({ seq }) => seq);

describe('GET .../events', () => {
  it('answers events as they are streamed', async () => {
    const { status, body } = await read('?limit=1');
    expect(status).toBe(200);
    expect(body.items).toEqual([
      {
        seq: 1,
        flowId,
        type: 'flow.queued',
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        data: { flow: 'test', version: 1 },
      },
    ]);
  });

  it('walks forwards by cursor to the end', async () => {
    const pages = [(await read('?limit=4')).body];
    for (let cursor = pages[0]?.nextCursor; typeof cursor === 'string'; cursor = pages.at(-1)?.nextCursor)
      pages.push((await read(`?limit=4&cursor=${cursor}`)).body);
    expect(pages.map(seqs)).toEqual([
      [1, 2, 3, 4],
      [5, 6, 7, 8],
      [9, 10],
    ]);
  });

  it('answers the last ones below a seq, ascending, and walks backwards', async () => {
    const { body } = await read('?before=9&limit=5');
    const { body: older } = await read(`?limit=5&cursor=${body.nextCursor ?? ''}`);
    expect([seqs(body), seqs(older), older.nextCursor]).toEqual([[4, 5, 6, 7, 8], [1, 2, 3], null]);
  });

  it('answers what follows a seq, and nothing behind the end', async () => {
    expect(seqs((await read('?after=8')).body)).toEqual([9, 10]);
    expect((await read('?after=999999999')).body).toEqual({ items: [], nextCursor: null });
  });

  it('filters by type across pages', async () => {
    const { body } = await read('?type=phase.completed,flow.completed&limit=1');
    const { body: next } = await read(`?type=flow.completed,phase.completed&limit=1&cursor=${body.nextCursor ?? ''}`);
    expect([seqs(body), seqs(next), next.nextCursor]).toEqual([[4], [6], null]);
  });

  it('refuses a cursor of another filter or of another log', async () => {
    const { body } = await read('?limit=1');
    const other = await fetch(server.url(await writer.newFlow(), `?cursor=${body.nextCursor ?? ''}`));
    expect(await read(`?type=log&cursor=${body.nextCursor ?? ''}`)).toMatchObject({ status: 400, body: { code: 'invalid-cursor' } });
    expect(other.status).toBe(400);
  });

  it.each(['?after=x', '?limit=0', '?before=1&after=1', '?until=end', '?nonsense=1', '?after=1&after=2'])(
    'answers 422 for %s',
    async (query) => {
      expect((await read(query)).status).toBe(422);
    },
  );

  it.each(['application/json', 'text/event-stream'])('answers 404 for an unknown and a foreign log asked for as %s', async (accept) => {
    const unknown = await fetch(server.url(newGroupId()), { headers: { accept } });
    const foreign = await read('', { accept, 'x-workspace': 'other' });
    expect([unknown.status, foreign.status]).toEqual([404, 404]);
  });
});
