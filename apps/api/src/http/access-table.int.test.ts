// Every route, asked by everybody: anonymous, each role, and another workspace.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { roleAllows, type Role } from '@millrace/shared';
import { ask, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';
import { ACCESS_TABLE } from './access-table.ts';
import type { Route } from './route.ts';

const NO_ID = '01900000-0000-7000-8000-000000000000';
const PUBLIC_OR_LOCAL: readonly string[] = ['public', 'loopback-or-viewer'];
/** Opened by a token that no role has or needs: to them it is one that nobody knows. */
const NO_ROLE: readonly string[] = [...PUBLIC_OR_LOCAL, 'callback-token'];
let api: TestApi;
const keys = new Map<string, string>();

beforeAll(async () => {
  api = await startTestApi();
  for (const role of ['viewer', 'operator', 'admin'] as const) keys.set(role, await api.newKey({ workspace: 'default', role }));
  keys.set('foreign', await api.newKey({ workspace: 'elsewhere', role: 'admin' }));
});
afterAll(() => api.stop());

function askRoute(route: Route, key: string | null): Promise<Answer> {
  const path = route.path
    .replaceAll('{id}', NO_ID)
    .replaceAll('{name}', 'unknown_name')
    .replaceAll('{file}', 'unknown.txt')
    .replaceAll('{phase}', 'unknown');
  return ask(api, { method: route.method.toUpperCase(), path, key });
}

describe('the access table', () => {
  it('lists exactly the operations that exist', () => {
    expect(api.routes.map((route) => route.operationId).toSorted()).toEqual(Object.keys(ACCESS_TABLE).toSorted());
    const paths = api.routes.map((route) => `${route.method} ${route.path.replaceAll(/\{[A-Za-z]+\}/g, '{}')}`);
    expect(new Set(paths).size).toBe(paths.length);
  });

  it('keeps everything below /v1 from those without a key', async () => {
    for (const route of api.routes) {
      const answer = await askRoute(route, null);
      const open = PUBLIC_OR_LOCAL.includes(ACCESS_TABLE[route.operationId]);
      expect({ route: route.operationId, refused: answer.status === 401, code: answer.json['code'] === 'unauthorized' }).toEqual({
        route: route.operationId,
        refused: !open,
        code: !open,
      });
    }
  });

  it.each(['viewer', 'operator', 'admin'] as const)('lets a %s do what the table says and no more', async (role) => {
    for (const route of api.routes) {
      const access = ACCESS_TABLE[route.operationId];
      const allowed = NO_ROLE.includes(access) || roleAllows(role, access as Role);
      const answer = await askRoute(route, keys.get(role) ?? '');
      expect({ route: route.operationId, status: [401, 403, 405].includes(answer.status) ? answer.status : 'passed' }).toEqual({
        route: route.operationId,
        status: allowed ? 'passed' : 403,
      });
    }
  });

  it('tells another workspace about a flow what it tells about none', async () => {
    const created = await ask(api, {
      method: 'POST',
      path: '/v1/flows',
      key: keys.get('operator') ?? '',
      body: JSON.stringify({ flow: 'test.one', input: {} }),
    });
    const id = String(created.json['id']);
    for (const route of api.routes.filter((candidate) => candidate.path.startsWith('/v1/flows/{id}'))) {
      const path = route.path.replace('{id}', id);
      const body = route.body?.kind === 'json' ? { body: '{}' } : {};
      const foreign = await ask(api, { method: route.method.toUpperCase(), path, key: keys.get('foreign') ?? '', ...body });
      const unknown = await ask(api, {
        method: route.method.toUpperCase(),
        path: route.path.replace('{id}', NO_ID),
        key: keys.get('foreign') ?? '',
        ...body,
      });
      expect(foreign.status).toBe(404);
      expect(withoutRequestId(foreign)).toBe(withoutRequestId(unknown));
    }
    const list = await ask(api, { path: '/v1/flows', key: keys.get('foreign') ?? '' });
    expect(list.json['items']).toEqual([]);
  });

  it.each([
    ['no scheme', 'mr_x'],
    ['a wrong scheme', 'Basic bXI6eA=='],
    ['two schemes', 'Bearer ,Bearer'],
    ['an unknown key', `Bearer mr_${'0'.repeat(32)}_${'A'.repeat(43)}`],
    ['10 kB', `Bearer mr_${'a'.repeat(10_000)}`],
    ['an empty key', 'Bearer '],
  ])('refuses an Authorization header with %s', async (_name, authorization) => {
    const answer = await ask(api, { path: '/v1/flows', key: null, headers: { authorization } });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toContain('Bearer');
  });

  it('refuses a key whose secret is wrong, and one that is cut short', async () => {
    const key = keys.get('viewer') ?? '';
    const wrong = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A');
    expect((await ask(api, { path: '/v1/flows', key: wrong })).status).toBe(401);
    expect((await ask(api, { path: '/v1/flows', key: key.slice(0, -5) })).status).toBe(401);
    expect((await ask(api, { path: '/v1/flows', key })).status).toBe(200);
  });

  it('does not take a key from the query string', async () => {
    const key = keys.get('viewer') ?? '';
    expect((await ask(api, { path: `/v1/flows?api_key=${key}`, key: null })).status).toBe(401);
    const answer = await ask(api, { path: `/v1/flows?api_key=${key}`, key });
    expect(answer.status).toBe(422);
    expect(answer.text).not.toContain(key);
  });
});

function withoutRequestId(answer: Answer): string {
  return answer.text.replaceAll(String(answer.json['requestId']), 'REQUEST');
}
