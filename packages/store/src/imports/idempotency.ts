// Idempotency keys for things that are created one at a time, inside the transaction that creates them. createFlows keeps the same
// rules in its own statement, because it takes many keys at once.
import { AppError } from '@millrace/shared';
import type { Queryable } from '../database.ts';

export type IdempotencyKey = { route: string; key: string; bodyHash: Buffer };

export type KeptAnswer = { kind: 'replayed'; status: number; body: unknown } | { kind: 'key-reused' };

/**
 * Takes a key for the answer that is about to be given. False when it is taken: roll back and read the kept answer.
 * While another transaction holds it uncommitted, this waits for that one.
 */
export async function takeKey(
  on: Queryable,
  taken: { workspace: string; idempotency: IdempotencyKey; status: number; body: unknown },
): Promise<boolean> {
  const { workspace, idempotency } = taken;
  const result = await on.query({
    name: 'take-idempotency-key',
    text: `
INSERT INTO millrace.idempotency_keys (workspace, route, key, body_hash, status, response) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (workspace, route, key) DO UPDATE
  SET body_hash = excluded.body_hash, status = excluded.status, response = excluded.response, created_at = now()
  WHERE idempotency_keys.created_at < now() - interval '24 hours'`,
    values: [workspace, idempotency.route, idempotency.key, idempotency.bodyHash, taken.status, JSON.stringify(taken.body)],
  });
  return result.rowCount === 1;
}

/** The answer a taken key was given. @throws AppError idempotency-in-progress when it is not there (any more). */
export async function readKeptAnswer(on: Queryable, workspace: string, idempotency: IdempotencyKey): Promise<KeptAnswer> {
  const found = await on.query<{ body_hash: Buffer; status: number; response: unknown }>({
    name: 'read-idempotency-key',
    text: 'SELECT body_hash, status, response FROM millrace.idempotency_keys WHERE workspace = $1 AND route = $2 AND key = $3',
    values: [workspace, idempotency.route, idempotency.key],
  });
  const row = found.rows[0];
  if (row === undefined) throw new AppError('idempotency-in-progress', { retryAfterSeconds: 1 });
  return row.body_hash.equals(idempotency.bodyHash) ? { kind: 'replayed', status: row.status, body: row.response } : { kind: 'key-reused' };
}

/** Takes a key for a request of many parts, each of which keeps its own answer. False when it stands for another body. */
export async function standsForBody(on: Queryable, workspace: string, idempotency: IdempotencyKey): Promise<boolean> {
  if (await takeKey(on, { workspace, idempotency, status: 202, body: null })) return true;
  return (await readKeptAnswer(on, workspace, idempotency)).kind === 'replayed';
}
