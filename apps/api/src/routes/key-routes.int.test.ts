// API keys: made, used, listed, revoked, and kept to their workspace.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask, post } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

describe('/v1/keys', () => {
  it('shows a key once, keeps only its hash, and lets it in at once', async () => {
    const created = await post(api, '/v1/keys', {
      json: { name: 'ci', role: 'viewer', requestsPerMinute: 100, expiresAt: '2099-01-01T00:00:00Z' },
    });
    expect(created.status).toBe(201);
    const key = String(created.json['key']);
    expect(key).toMatch(/^mr_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$/);
    expect(created.json).toMatchObject({
      name: 'ci',
      role: 'viewer',
      workspace: 'default',
      requestsPerMinute: 100,
      expiresAt: '2099-01-01T00:00:00.000Z',
    });
    expect((await ask(api, { path: '/v1/flows', key })).status).toBe(200);
    const list = await ask(api, { path: '/v1/keys' });
    expect(list.text).toContain(String(created.json['id']));
    expect(list.text).not.toMatch(/secret|hash|mr_/);
    const stored = await api.database.main.query<{ text: string }>('SELECT string_agg(api_keys::text, $1) AS text FROM millrace.api_keys', [
      '\n',
    ]);
    expect(stored.rows[0]?.text).not.toContain(key.slice(-43));
  });

  it('makes one key per Idempotency-Key and caller, and shows it again to who asks again', async () => {
    const once = { headers: { 'content-type': 'application/json', 'idempotency-key': 'key-1' } };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => post(api, '/v1/keys', { json: { name: 'once', role: 'viewer' }, ...once })),
    );
    expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
    expect(answers.filter((answer) => answer.headers['idempotency-replayed'] === 'true')).toHaveLength(9);
    const key = String(answers[0]?.json['key']);
    expect((await ask(api, { path: '/v1/flows', key })).status).toBe(200);
    expect((await post(api, '/v1/keys', { json: { name: 'other', role: 'viewer' }, ...once })).json['code']).toBe('idempotency-key-reused');
    const colleague = await api.newKey({ workspace: 'default', role: 'admin' });
    const theirs = await post(api, '/v1/keys', { json: { name: 'once', role: 'viewer' }, ...once, key: colleague });
    expect(theirs.status).toBe(201);
    expect(theirs.json['id']).not.toBe(answers[0]?.json['id']);
    const kept = await api.database.main.query<{ text: string }>(
      'SELECT string_agg(idempotency_keys::text, $1) AS text FROM millrace.idempotency_keys',
      ['\n'],
    );
    expect(kept.rows[0]?.text).not.toContain(key.slice(-43));
  });

  it('refuses an Idempotency-Key that is none, and lets no refused request take one', async () => {
    const send = (idempotencyKey: string, json: object) =>
      post(api, '/v1/keys', { json, headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey } });
    expect((await send('a b', { name: 'x', role: 'viewer' })).json['code']).toBe('idempotency-key-invalid');
    expect((await send('key-2', { name: 'x', role: 'root' })).status).toBe(422);
    expect((await send('key-2', { name: 'x', role: 'viewer' })).status).toBe(201);
  });

  it('refuses a revoked key at once where it was revoked, and knows it no more', async () => {
    const created = await post(api, '/v1/keys', { json: { name: 'short', role: 'viewer' } });
    const key = String(created.json['key']);
    const path = `/v1/keys/${String(created.json['id'])}`;
    expect((await ask(api, { path: '/v1/flows', key })).status).toBe(200);
    const revoked = await ask(api, { method: 'DELETE', path });
    expect({ status: revoked.status, text: revoked.text }).toEqual({ status: 204, text: '' });
    expect((await ask(api, { path: '/v1/flows', key })).status).toBe(401);
    expect((await ask(api, { method: 'DELETE', path })).status).toBe(404);
  });

  it('refuses a key that has expired', async () => {
    const key = await api.newKey({ workspace: 'default', role: 'viewer' });
    const id = key.slice(3, 35);
    await api.database.main.query(
      "UPDATE millrace.api_keys SET expires_at = now() - interval '1 second' WHERE replace(id::text, '-', '') = $1",
      [id],
    );
    expect((await ask(api, { path: '/v1/flows', key })).status).toBe(401);
  });

  it('lets admins of `default` make and manage other workspaces, and nobody else', async () => {
    const made = await post(api, '/v1/keys', { json: { name: 'first', role: 'admin', workspace: 'fresh' } });
    expect({ status: made.status, workspace: made.json['workspace'] }).toEqual({ status: 201, workspace: 'fresh' });
    const key = String(made.json['key']);
    expect((await ask(api, { path: '/v1/keys', key })).json['items']).toHaveLength(1);
    expect((await post(api, '/v1/keys', { json: { name: 'x', role: 'admin', workspace: 'default' }, key })).json['code']).toBe(
      'insufficient-role',
    );
    expect((await ask(api, { path: '/v1/keys?workspace=default', key })).json['code']).toBe('insufficient-role');
    expect((await ask(api, { path: '/v1/keys?workspace=fresh' })).json['items']).toHaveLength(1);
    expect((await ask(api, { method: 'DELETE', path: `/v1/keys/${String(made.json['id'])}` })).status).toBe(404);
    expect((await ask(api, { method: 'DELETE', path: `/v1/keys/${String(made.json['id'])}?workspace=fresh` })).status).toBe(204);
  });

  it('pages with cursors of its own list', async () => {
    for (const name of ['a', 'b', 'c']) await post(api, '/v1/keys', { json: { name, role: 'viewer', workspace: 'many' } });
    const first = await ask(api, { path: '/v1/keys?workspace=many&limit=2' });
    const second = await ask(api, { path: `/v1/keys?workspace=many&limit=2&cursor=${String(first.json['nextCursor'])}` });
    const names = [...(first.json['items'] as { name: string }[]), ...(second.json['items'] as { name: string }[])].map((key) => key.name);
    expect(names).toEqual(['c', 'b', 'a']);
    expect((await ask(api, { path: `/v1/flows?cursor=${String(first.json['nextCursor'])}` })).json['code']).toBe('invalid-cursor');
  });

  it.each([
    ['no name', { role: 'viewer' }, '/name'],
    ['an unknown role', { name: 'x', role: 'root' }, '/role'],
    ['a past end', { name: 'x', role: 'viewer', expiresAt: '2001-01-01T00:00:00Z' }, '/expiresAt'],
    ['an end beyond all years', { name: 'x', role: 'viewer', expiresAt: '9999-12-31T23:59:59-23:59' }, '/expiresAt'],
    ['a bad workspace name', { name: 'x', role: 'viewer', workspace: 'A b' }, '/workspace'],
    ['a negative limit', { name: 'x', role: 'viewer', requestsPerMinute: -1 }, '/requestsPerMinute'],
    ['a hash', { name: 'x', role: 'viewer', secretHash: 'x' }, '/secretHash'],
  ])('refuses %s', async (_name, body, pointer) => {
    const answer = await post(api, '/v1/keys', { json: body });
    expect({ status: answer.status, pointer: (answer.json['errors'] as { pointer: string }[])[0]?.pointer }).toEqual({
      status: 422,
      pointer,
    });
  });
});
