// Make, list and revoke API keys.
import {
  AppError,
  createdKeySchema,
  DEFAULT_WORKSPACE,
  fieldError,
  keyListQuery,
  keyPageSchema,
  keyScopeQuery,
  newKeySchema,
  type KeyAnswer,
  type NewKeyBody,
  type Principal,
} from '@millrace/shared';
import type { Clock } from '@millrace/process';
import type { CreatedKey, KeyOnce, NewKey, StoredKey } from '@millrace/store';
import { formatApiKey, newSecret, repeatableSecret } from '../auth/api-key.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { Cursors } from '../http/input/cursors.ts';
import { bodyHashOf, idempotencyKeyOf } from '../http/input/idempotency-key.ts';
import { defineRoute, type ApiReply, type Route } from '../http/route.ts';

export type KeyRoutesDeps = {
  authenticator: Pick<Authenticator, 'forget'>;
  cursors: Cursors;
  clock: Clock;
  createKey(key: NewKey): Promise<StoredKey>;
  createKeyOnce(key: NewKey, once: KeyOnce): Promise<CreatedKey>;
  listKeys(page: { workspace: string; before: string | null; limit: number }): Promise<StoredKey[]>;
  /** False when there is no such key in this workspace. */
  revokeKey(key: { id: string; workspace: string }): Promise<boolean>;
};

const TAG = 'Keys';
const CREATE_SCOPE = 'POST /v1/keys';
/** An offset can lead beyond the years that RFC 3339 can write. */
const EXPIRY_MS_MAX = Date.parse('9999-12-31T23:59:59.999Z');

export function keyRoutes(deps: KeyRoutesDeps): Route[] {
  return [createRoute(deps), listRoute(deps), revokeRoute(deps)];
}

function createRoute(deps: KeyRoutesDeps): Route {
  return defineRoute({
    method: 'post',
    path: '/v1/keys',
    operationId: 'createKey',
    summary: 'Make an API key',
    description: 'The key itself is in this answer and in replays of it, and never again: only its hash is kept.',
    tag: TAG,
    headers: {
      'Idempotency-Key':
        'Optional; 1 to 255 visible ASCII characters. The same key and body again within 24 h, sent with the same API key, answer with the first result.',
    },
    body: { kind: 'json', schema: newKeySchema },
    responses: {
      201: {
        description: 'The new key',
        schema: createdKeySchema,
        headers: { Location: 'The key', 'Idempotency-Replayed': '`true` when this is the answer of an earlier request' },
      },
    },
    errors: ['idempotency-key-invalid', 'idempotency-in-progress', 'idempotency-key-reused'],
    handler: async ({ body, principal, headers }) => {
      const idempotencyKey = idempotencyKeyOf(headers);
      const workspace = workspaceFor(body.workspace, principal);
      const asked = { workspace, name: body.name, role: body.role, requestsPerMinute: body.requestsPerMinute ?? null };
      if (idempotencyKey === null) {
        const { secret, secretHash } = newSecret();
        return createdReply(await deps.createKey({ ...asked, secretHash, expiresAt: expiryOf(body, deps.clock) }), secret);
      }
      const callerKey = (headers.authorization ?? '').replace(/^bearer +/i, '').trim();
      const seed = newSecret().secret;
      const created = await deps.createKeyOnce(
        { ...asked, secretHash: repeatableSecret(seed, callerKey).secretHash, expiresAt: expiryOf(body, deps.clock) },
        // Only the caller itself can be given the secret again, so each has Idempotency-Keys of its own here.
        {
          workspace: principal.workspace,
          seed,
          idempotency: { route: `${CREATE_SCOPE} ${principal.keyId}`, key: idempotencyKey, bodyHash: bodyHashOf(body) },
        },
      );
      if (created.kind === 'key-reused')
        throw new AppError('idempotency-key-reused', {
          errors: [{ pointer: 'Idempotency-Key', code: 'idempotency-key-reused', message: 'It was used with another body.' }],
        });
      const reply = createdReply(created.key, repeatableSecret(created.seed, callerKey).secret);
      return created.kind === 'created' ? reply : { ...reply, headers: { ...reply.headers, 'idempotency-replayed': 'true' } };
    },
  });
}

function createdReply(stored: StoredKey, secret: string): ApiReply {
  return {
    status: 201,
    body: { ...keyAnswer(stored), key: formatApiKey({ id: stored.id, secret }) },
    headers: { location: `/v1/keys/${stored.id}` },
  };
}

function listRoute(deps: KeyRoutesDeps): Route {
  return defineRoute({
    method: 'get',
    path: '/v1/keys',
    operationId: 'listKeys',
    summary: 'List API keys, newest first',
    tag: TAG,
    query: keyListQuery,
    responses: { 200: { description: 'A page of keys without their secrets', schema: keyPageSchema } },
    errors: ['invalid-cursor'],
    handler: async ({ query, principal }) => {
      const workspace = workspaceFor(query.workspace, principal);
      const scope = { workspace, list: 'keys', filter: null };
      const before = query.cursor === undefined ? null : await deps.cursors.decode(scope, query.cursor);
      const found = await deps.listKeys({ workspace, before, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      const nextCursor = found.length > page.length && last !== undefined ? await deps.cursors.encode(scope, last.id) : null;
      return { status: 200, body: { items: page.map((key) => keyAnswer(key)), nextCursor } };
    },
  });
}

function revokeRoute(deps: KeyRoutesDeps): Route {
  return defineRoute({
    method: 'delete',
    path: '/v1/keys/{id}',
    operationId: 'revokeKey',
    summary: 'Revoke an API key',
    description: 'It is refused here at once and everywhere within 5 s.',
    tag: TAG,
    query: keyScopeQuery,
    responses: { 204: { description: 'Revoked' } },
    errors: ['not-found'],
    handler: async ({ params, query, principal }) => {
      const id = (params['id'] ?? '').toLowerCase();
      if (!(await deps.revokeKey({ id, workspace: workspaceFor(query.workspace, principal) }))) throw new AppError('not-found');
      deps.authenticator.forget(id);
      return { status: 204 };
    },
  });
}

/** @throws AppError insufficient-role when an admin of one workspace names another, unless it is the workspace `default`'s */
function workspaceFor(asked: string | undefined, principal: Principal): string {
  if (asked === undefined || asked === principal.workspace || principal.workspace === DEFAULT_WORKSPACE)
    return asked ?? principal.workspace;
  throw new AppError('insufficient-role', { detail: 'Only admins of the workspace `default` may name another workspace.' });
}

function expiryOf(body: NewKeyBody, clock: Clock): string | null {
  if (body.expiresAt === undefined) return null;
  const atMs = Date.parse(body.expiresAt);
  if (Number.isNaN(atMs) || atMs <= clock.nowMs()) throw fieldError('validation', '/expiresAt', 'must lie in the future');
  if (atMs > EXPIRY_MS_MAX) throw fieldError('validation', '/expiresAt', 'must lie before the year 10000');
  return new Date(atMs).toISOString();
}

function keyAnswer(key: StoredKey): KeyAnswer {
  return {
    id: key.id,
    name: key.name,
    role: key.role,
    workspace: key.workspace,
    requestsPerMinute: key.requests_per_minute,
    createdAt: key.created_at.toISOString(),
    expiresAt: key.expires_at?.toISOString() ?? null,
  };
}
