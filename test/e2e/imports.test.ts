// Files into datasets over REST on real processes.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { createTestStack, importEnded, putDataset, startImport, type TestStack } from '@millrace/testing';
import { PEOPLE_DATASET, peopleFile } from '../support/people-file.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.startApi();
  await stack.startWorker();
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

describe('a CSV file', () => {
  const file = peopleFile(5_000);

  it('is imported, gzip or not, and its bad rows are told with their lines', async () => {
    await putDataset(stack.client, 'people', PEOPLE_DATASET);
    const done = await importEnded(
      stack.client,
      await startImport(stack.client, {
        dataset: 'people',
        mode: 'insert',
        content: gzipSync(file.csv),
        headers: { 'content-encoding': 'gzip' },
      }),
    );
    expect(done).toMatchObject({ status: 'completed', rowsInserted: file.goodCount, rowsRejected: file.badLines.length });
    const rejects = await stack.client.get<{ items: { line: number; column: string; code: string }[] }>(`/v1/imports/${done.id}/rejects`);
    expect(rejects.body.items.map(({ line, column, code }) => [line, column, code])).toEqual(
      file.badLines.map((line) => [line, 'born', 'type']),
    );
    const rows = await stack.client.get<{ items: unknown[] }>('/v1/datasets/people/rows?limit=1');
    expect(rows.body.items).toEqual([{ id: 1, name: 'One line, "no. 1"', born: '1984-06-01', score: '1.25' }]);
  }, 60_000);

  it('changes nothing when it is upserted again', async () => {
    const done = await importEnded(stack.client, await startImport(stack.client, { dataset: 'people', mode: 'upsert', content: file.csv }));
    expect(done).toMatchObject({
      status: 'completed',
      rowsInserted: 0,
      rowsUpdated: 0,
      rowsUnchanged: file.goodCount,
      rowsRejected: file.badLines.length,
    });
  }, 60_000);

  it('fails as a whole when its header does not fit, and says so', async () => {
    const done = await importEnded(
      stack.client,
      await startImport(stack.client, { dataset: 'people', mode: 'insert', content: 'a,b\n1,2\n' }),
    );
    expect(done).toMatchObject({ status: 'failed', error: { code: 'header-mismatch' }, rowsInserted: 0 });
  });

  it('tells its story in events, numbered without a gap, to a stream that ends with it', async () => {
    const id = await startImport(stack.client, { dataset: 'people', mode: 'upsert', content: file.csv });
    const seen: { event: string | undefined; data: { seq: number; importId: string } }[] = [];
    for await (const message of stack.client.events(`/v1/imports/${id}/events?until=end`))
      seen.push({ event: message.event, data: JSON.parse(message.data) as { seq: number; importId: string } });
    expect(seen.map(({ data }) => data.seq)).toEqual(seen.map((_, index) => index + 1));
    expect(seen.every(({ data }) => data.importId === id)).toBe(true);
    expect([seen[0]?.event, seen.at(-1)?.event]).toEqual(['import.queued', 'import.completed']);
  }, 60_000);
});
