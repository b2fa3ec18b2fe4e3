// API keys: only the hash of the secret is kept.
import { AppError, newId, type Role } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { readKeptAnswer, takeKey, type IdempotencyKey } from '../imports/idempotency.ts';

export type StoredKey = {
  id: string;
  workspace: string;
  name: string;
  role: Role;
  secret_hash: Buffer;
  requests_per_minute: number | null;
  expires_at: Date | null;
  created_at: Date;
};

export type NewKey = {
  workspace: string;
  name: string;
  role: Role;
  secretHash: Buffer;
  requestsPerMinute: number | null;
  expiresAt: string | null;
};

const COLUMNS = 'id, workspace, name, role, secret_hash, requests_per_minute, expires_at, created_at';

/** A key that is neither revoked nor expired. */
export async function findKey(on: Queryable, id: string): Promise<StoredKey | undefined> {
  const result = await on.query<StoredKey>({
    name: 'find-key',
    text: `SELECT ${COLUMNS} FROM millrace.api_keys WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`,
    values: [id],
  });
  return result.rows[0];
}

/** Makes a key, and its workspace when that is new. */
export async function createKey(database: Pick<Database, 'transaction'>, key: NewKey): Promise<StoredKey> {
  return database.transaction((client) => insertKey(client, key, newId()));
}

/** `workspace`: the caller's. `seed`: what the secret was made from, together with something that is not kept. */
export type KeyOnce = { workspace: string; idempotency: IdempotencyKey; seed: string };

export type CreatedKey = { kind: 'created' | 'replayed'; key: StoredKey; seed: string } | { kind: 'key-reused' };

/** Makes a key unless the idempotency key has made one, which is answered then, with its seed. @throws AppError idempotency-in-progress */
export async function createKeyOnce(database: Pick<Database, 'transaction' | 'main'>, key: NewKey, once: KeyOnce): Promise<CreatedKey> {
  const { workspace, idempotency, seed } = once;
  const id = newId();
  const made = await database.transaction(async (client) => {
    const isFirst = await takeKey(client, { workspace, idempotency, status: 201, body: { id, seed } });
    return isFirst ? insertKey(client, key, id) : undefined;
  });
  if (made !== undefined) return { kind: 'created', key: made, seed };
  const kept = await readKeptAnswer(database.main, workspace, idempotency);
  if (kept.kind === 'key-reused') return kept;
  const first = kept.body as { id: string; seed: string };
  const found = await database.main.query<StoredKey>(`SELECT ${COLUMNS} FROM millrace.api_keys WHERE id = $1`, [first.id]);
  if (found.rows[0] === undefined) throw new AppError('idempotency-in-progress', { retryAfterSeconds: 1 });
  return { kind: 'replayed', key: found.rows[0], seed: first.seed };
}

async function insertKey(on: Queryable, key: NewKey, id: string): Promise<StoredKey> {
  await on.query('INSERT INTO millrace.workspaces (name) VALUES ($1) ON CONFLICT DO NOTHING', [key.workspace]);
  const result = await on.query<StoredKey>(
    `INSERT INTO millrace.api_keys (id, workspace, name, role, secret_hash, requests_per_minute, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${COLUMNS}`,
    [id, key.workspace, key.name, key.role, key.secretHash, key.requestsPerMinute, key.expiresAt],
  );
  const row = result.rows[0];
  if (row === undefined) throw new Error('the key was not returned');
  return row;
}

/** Keys of a workspace, newest first. */
export async function listKeys(on: Queryable, page: { workspace: string; before: string | null; limit: number }): Promise<StoredKey[]> {
  const result = await on.query<StoredKey>({
    name: 'list-keys',
    text: `SELECT ${COLUMNS} FROM millrace.api_keys WHERE workspace = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3`,
    values: [page.workspace, page.before, page.limit],
  });
  return result.rows;
}

/** False when there is no such key in this workspace, or it was revoked before. */
export async function revokeKey(on: Queryable, key: { id: string; workspace: string }): Promise<boolean> {
  const result = await on.query('UPDATE millrace.api_keys SET revoked_at = now() WHERE id = $1 AND workspace = $2 AND revoked_at IS NULL', [
    key.id,
    key.workspace,
  ]);
  return result.rowCount === 1;
}
