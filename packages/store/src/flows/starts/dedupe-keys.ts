// The rows of dedupe keys, and the idempotency keys that come with them. Both are always taken in sorted order, idempotency keys first:
// that is what keeps starts from deadlocking with each other. Flow rows come after.
import { AppError, type FlowStatus } from '@millrace/shared';
import type { Queryable } from '../../database.ts';
import type { NewFlow } from '../create-flows.ts';
import type { KeyHolder } from './dedupe-rule.ts';

export type DedupeScope = { workspace: string; flow: string; key: string };
export type HoldingFlow = KeyHolder & { id: string; version: number };

/** Stands for no flow; seen by nobody but the transaction that writes it. */
const NOBODY = '00000000-0000-0000-0000-000000000000';
const LOCK_TRIES = 3;
/** No window is longer, so a key whose flow has ended says nothing any more after it. */
const KEPT_DAYS = 24;

export function scopeText({ workspace, flow, key }: DedupeScope): string {
  return JSON.stringify([workspace, flow, key]);
}

/** Locks keys until the transaction ends and answers, by scopeText, the flows they stand for. `replacing`: keys whose flow may be replaced, which locks it. */
export async function lockDedupeKeys(
  client: Queryable,
  scopes: readonly DedupeScope[],
  replacing: ReadonlySet<string>,
): Promise<Map<string, HoldingFlow>> {
  const rows = await lockRows(client, scopes);
  const replaceable = rows.filter((row) => replacing.has(scopeText(row))).map((row) => row.flow_id);
  if (replaceable.length > 0)
    await client.query('SELECT FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE', [replaceable]);
  const flows = await client.query<{ id: string; version: number; status: FlowStatus; started: boolean }>(
    'SELECT id, version, status, started_at IS NOT NULL AS started FROM millrace.flows WHERE id = ANY($1::uuid[])',
    [rows.map((row) => row.flow_id)],
  );
  const byId = new Map(flows.rows.map((flow) => [flow.id, flow]));
  return new Map(
    rows.flatMap((row) => {
      const flow = byId.get(row.flow_id);
      return flow === undefined ? [] : [[scopeText(row), { ...flow, ageMs: row.age_ms }] as const];
    }),
  );
}

type KeyRow = DedupeScope & { flow_id: string; age_ms: number };

async function lockRows(client: Queryable, scopes: readonly DedupeScope[]): Promise<KeyRow[]> {
  const distinct = new Set(scopes.map((scope) => scopeText(scope))).size;
  const values = columnsOf(scopes);
  // A key that is pruned between the two statements is written again.
  for (let tries = 0; tries < LOCK_TRIES; tries += 1) {
    await client.query({
      name: 'insert-dedupe-keys',
      text: `INSERT INTO millrace.dedupe_keys (workspace, flow, key, flow_id)
             SELECT DISTINCT a.*, '${NOBODY}'::uuid FROM unnest($1::text[], $2::text[], $3::text[]) AS a ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING`,
      values,
    });
    const locked = await client.query<KeyRow>({
      name: 'lock-dedupe-keys',
      text: `SELECT k.workspace, k.flow, k.key, k.flow_id, (extract(epoch FROM clock_timestamp() - k.accepted_at) * 1000)::float8 AS age_ms
             FROM millrace.dedupe_keys k WHERE (k.workspace, k.flow, k.key) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
             ORDER BY k.workspace, k.flow, k.key FOR UPDATE`,
      values,
    });
    if (locked.rows.length === distinct) return locked.rows;
  }
  throw new AppError('dependency-unavailable', { retryAfterSeconds: 1 });
}

/** Makes locked keys stand for other flows, from now on. */
export async function moveDedupeKeys(client: Queryable, moved: readonly (DedupeScope & { flowId: string })[]): Promise<void> {
  if (moved.length === 0) return;
  await client.query({
    name: 'move-dedupe-keys',
    text: `UPDATE millrace.dedupe_keys k SET flow_id = a.flow_id, accepted_at = clock_timestamp()
           FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS a (workspace, flow, key, flow_id)
           WHERE (k.workspace, k.flow, k.key) = (a.workspace, a.flow, a.key)`,
    values: [...columnsOf(moved), moved.map((one) => one.flowId)],
  });
}

/** Forgets keys that can decide nothing any more. Answers how many. */
export async function pruneDedupeKeys(on: Queryable, limit: number): Promise<number> {
  const result = await on.query({
    name: 'prune-dedupe-keys',
    text: `
WITH old AS (
  SELECT k.workspace, k.flow, k.key FROM millrace.dedupe_keys k
  WHERE k.accepted_at < now() - interval '${KEPT_DAYS} days'
    AND NOT EXISTS (SELECT FROM millrace.flows f WHERE f.id = k.flow_id AND f.status NOT IN ('completed', 'failed', 'cancelled'))
  ORDER BY k.accepted_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM millrace.dedupe_keys k USING old WHERE (k.workspace, k.flow, k.key) = (old.workspace, old.flow, old.key)`,
    values: [limit],
  });
  return result.rowCount ?? 0;
}

type Idempotent = Pick<NewFlow, 'workspace'> & { idempotency: NonNullable<NewFlow['idempotency']> };

/** Takes idempotency keys until the transaction ends; their answers are written by keepAnswers. Answers for each whether it was free. */
export async function takeIdempotencyKeys(client: Queryable, wanted: readonly Idempotent[]): Promise<boolean[]> {
  if (wanted.length === 0) return [];
  const result = await client.query<{ workspace: string; route: string; key: string }>({
    name: 'take-idempotency-keys',
    text: `
INSERT INTO millrace.idempotency_keys (workspace, route, key, body_hash, status, response)
SELECT a.*, 0, 'null' FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS a ORDER BY 1, 2, 3
ON CONFLICT (workspace, route, key) DO UPDATE SET body_hash = excluded.body_hash, status = excluded.status, response = excluded.response, created_at = now()
  WHERE idempotency_keys.created_at < now() - interval '24 hours'
RETURNING workspace, route, key`,
    values: [...idempotencyColumns(wanted), wanted.map((one) => one.idempotency.bodyHash)],
  });
  const taken = new Set(result.rows.map((row) => JSON.stringify([row.workspace, row.route, row.key])));
  return wanted.map(({ workspace, idempotency }) => taken.has(JSON.stringify([workspace, idempotency.route, idempotency.key])));
}

/** Keeps the answers of taken keys; a null answer gives its key back. */
export async function keepAnswers(
  client: Queryable,
  kept: readonly (Idempotent & { answer: { status: number; body: unknown } | null })[],
): Promise<void> {
  if (kept.length === 0) return;
  await client.query({
    name: 'keep-answers',
    text: `
WITH asked AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::jsonb[]) AS a (workspace, route, key, status, response)
), refused AS (
  DELETE FROM millrace.idempotency_keys k USING asked a WHERE (k.workspace, k.route, k.key) = (a.workspace, a.route, a.key) AND a.status IS NULL
)
UPDATE millrace.idempotency_keys k SET status = a.status, response = a.response
FROM asked a WHERE (k.workspace, k.route, k.key) = (a.workspace, a.route, a.key) AND a.status IS NOT NULL`,
    values: [
      ...idempotencyColumns(kept),
      kept.map(({ answer }) => answer?.status ?? null),
      kept.map(({ answer }) => (answer === null ? null : JSON.stringify(answer.body))),
    ],
  });
}

function columnsOf(scopes: readonly DedupeScope[]): [string[], string[], string[]] {
  return [scopes.map(({ workspace }) => workspace), scopes.map(({ flow }) => flow), scopes.map(({ key }) => key)];
}

function idempotencyColumns(wanted: readonly Idempotent[]): [string[], string[], string[]] {
  return [
    wanted.map(({ workspace }) => workspace),
    wanted.map(({ idempotency }) => idempotency.route),
    wanted.map(({ idempotency }) => idempotency.key),
  ];
}
