// Removes a dataset with its table and rows. Imports into it that are over stay listed.
import type { ImportStatus } from '@millrace/shared';
import type { Database } from '../database.ts';
import { lockDataset } from './dataset-lock.ts';
import { tableName } from './dataset-table.ts';

/** `busy`: an import into it is under way. */
export type DropDatasetOutcome = { kind: 'dropped' } | { kind: 'not-found' } | { kind: 'busy'; importId: string };

const BUSY_STATUSES: readonly ImportStatus[] = ['queued', 'running', 'paused'];

export async function dropDataset(
  database: Pick<Database, 'transaction'>,
  target: { workspace: string; name: string },
): Promise<DropDatasetOutcome> {
  return database.transaction(async (client) => {
    const dataset = await lockDataset(client, target);
    if (dataset === undefined) return { kind: 'not-found' };
    // Content is accepted under a share lock of the dataset's row, so no import can become busy behind this look.
    const busy = await client.query<{ id: string }>(
      'SELECT id FROM millrace.imports WHERE workspace = $1 AND dataset = $2 AND status = ANY($3) LIMIT 1',
      [target.workspace, target.name, BUSY_STATUSES],
    );
    const [first] = busy.rows;
    if (first !== undefined) return { kind: 'busy', importId: first.id };
    await client.query(`DROP TABLE ${tableName(target)}`);
    await client.query('DELETE FROM millrace.datasets WHERE id = $1', [dataset.id]);
    return { kind: 'dropped' };
  });
}
