// Workers that die in the middle of an import: the table and the rejects are those of an undisturbed run.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  createTestStack,
  eventually,
  importEnded,
  putDataset,
  startImport,
  type ImportBody,
  type TestProcess,
  type TestStack,
} from '@millrace/testing';
import { PEOPLE_DATASET, peopleFile } from '../support/people-file.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.startApi();
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

const ROW_COUNT = 1_000_000;

async function chunksDone(id: string): Promise<ImportBody> {
  return (await stack.client.get<ImportBody>(`/v1/imports/${id}`)).body;
}

describe('an import whose workers are killed', () => {
  it('ends with every row and every reject once', async () => {
    const file = peopleFile(ROW_COUNT);
    await putDataset(stack.client, 'people', PEOPLE_DATASET);
    const workers: TestProcess[] = [await stack.startWorker(), await stack.startWorker()];
    const id = await startImport(stack.client, { dataset: 'people', mode: 'insert', content: file.csv });
    for (const after of [1, 3]) {
      await eventually(
        async () => {
          expect((await chunksDone(id)).chunksDone).toBeGreaterThanOrEqual(after);
        },
        { withinMs: 30_000 },
      );
      for (const worker of workers) worker.signal('SIGKILL');
      await Promise.all(workers.map((worker) => worker.exited));
      workers.splice(0, 2, await stack.startWorker(), await stack.startWorker());
    }
    const done = await importEnded(stack.client, id, 60_000);
    expect(done).toMatchObject({ status: 'completed', rowsInserted: file.goodCount, rowsRejected: file.badLines.length });
    const { main } = stack.database.database;
    const rows = await main.query(
      'SELECT count(*)::int AS count, count(DISTINCT id)::int AS distinct, sum(id)::float8 AS sum FROM data_default.people',
    );
    expect(rows.rows[0]).toEqual({ count: file.goodCount, distinct: file.goodCount, sum: file.idSum });
    const rejects = await main.query<{ line: number }>(
      'SELECT line::int AS line FROM millrace.import_rejects WHERE import_id = $1 ORDER BY line',
      [id],
    );
    expect(rejects.rows.map((row) => row.line)).toEqual(file.badLines);
  }, 180_000);
});
