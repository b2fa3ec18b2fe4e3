// Adds what handlers consumed to the sums per day and key. Each flush of a process counts once, however often it is sent.
import type { Queryable } from '../database.ts';

/** `day` is a date in UTC, YYYY-MM-DD. */
export type UsedAmount = { flowId: string; day: string; kind: string; amount: number };

/** `source` names the process; its flushes are numbered from 1 and sent one after the other. */
export type UsageFlush = { source: string; seq: number; amounts: readonly UsedAmount[] };

// A second copy waits for the row of the first and finds its number used up. Sums are locked in the order of their key.
const ADD = `
WITH fresh AS (
  INSERT INTO millrace.usage_flushes (source, seq) VALUES ($1, $2)
  ON CONFLICT (source) DO UPDATE SET seq = excluded.seq, at = now() WHERE usage_flushes.seq < excluded.seq
  RETURNING source
)
INSERT INTO millrace.usage (workspace, day, key_id, kind, amount)
SELECT f.workspace, a.day, f.created_by, a.kind, sum(a.amount)
FROM unnest($3::uuid[], $4::date[], $5::text[], $6::numeric[]) AS a (flow_id, day, kind, amount) JOIN millrace.flows f ON f.id = a.flow_id
WHERE EXISTS (SELECT FROM fresh)
GROUP BY f.workspace, a.day, f.created_by, a.kind
ORDER BY f.workspace, a.day, f.created_by, a.kind
ON CONFLICT (workspace, day, key_id, kind) DO UPDATE SET amount = usage.amount + excluded.amount`;

export async function addUsage(on: Queryable, { source, seq, amounts }: UsageFlush): Promise<void> {
  await on.query({
    name: 'add-usage',
    text: ADD,
    values: [
      source,
      seq,
      amounts.map(({ flowId }) => flowId),
      amounts.map(({ day }) => day),
      amounts.map(({ kind }) => kind),
      amounts.map(({ amount }) => amount),
    ],
  });
  if (seq === 1) await forgetOldFlushes(on);
}

/** Longer than any process sends one flush again. */
async function forgetOldFlushes(on: Queryable): Promise<void> {
  await on.query("DELETE FROM millrace.usage_flushes WHERE at < now() - interval '7 days'");
}
