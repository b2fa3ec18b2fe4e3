// Takes dead phases off the list. Their flows stay as they are.
import type { PoolClient } from '../database.ts';

/** Purges those of the given phases that are still dead, and answers how many. Locks their flows first, like everything that writes to phases. */
export async function purgeDead(
  client: PoolClient,
  purge: { phases: readonly { id: string; flow_id: string }[]; by: string },
): Promise<number> {
  const flowIds = [...new Set(purge.phases.map((phase) => phase.flow_id))];
  await client.query('SELECT id FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE', [flowIds]);
  const result = await client.query({
    name: 'purge-dead',
    text: `UPDATE millrace.phases SET purged_at = clock_timestamp(), purged_by = $2
           WHERE id = ANY($1::uuid[]) AND status IN ('failed', 'quarantined') AND purged_at IS NULL`,
    values: [purge.phases.map((phase) => phase.id), purge.by],
  });
  return result.rowCount ?? 0;
}
