// Results of needed phases that were too large to come with the claim.
import type { Queryable } from '../database.ts';

export type ReadOutputs = { kind: 'read'; outputs: Record<string, unknown> } | { kind: 'too-large'; sizeBytes: number };

/** All needed results of one phase together. A fan-in of thousands must hand on references, not contents. */
export const OUTPUTS_BYTES_MAX = 64 * 1024 * 1024;

export async function readOutputs(on: Queryable, phaseId: string): Promise<ReadOutputs> {
  const size = await on.query<{ size: number | null }>({
    name: 'size-outputs',
    text: `SELECT sum(octet_length(n.output::text))::float8 AS size FROM millrace.phases n WHERE n.id = ANY((SELECT needs FROM millrace.phases WHERE id = $1)::uuid[])`,
    values: [phaseId],
  });
  const sizeBytes = size.rows[0]?.size ?? 0;
  if (sizeBytes > OUTPUTS_BYTES_MAX) return { kind: 'too-large', sizeBytes };
  const rows = await on.query<{ name: string; output: unknown }>({
    name: 'read-outputs',
    text: "SELECT n.name, n.output FROM millrace.phases n WHERE n.id = ANY((SELECT needs FROM millrace.phases WHERE id = $1)::uuid[]) AND n.status = 'completed'",
    values: [phaseId],
  });
  return { kind: 'read', outputs: Object.fromEntries(rows.rows.map((row) => [row.name, row.output])) };
}
