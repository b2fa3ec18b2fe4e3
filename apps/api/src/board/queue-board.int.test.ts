// Bull Board: who gets in, and that nobody changes anything through it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask, post } from '../test-support/ask.ts';
import { startTestApi, TEST_ADMIN_KEY, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`someone:${password}`).toString('base64')}` });

describe('/admin/queues', () => {
  it('asks a browser for a key', async () => {
    for (const headers of [{}, basic('wrong'), { authorization: 'Basic !!!' }]) {
      const answer = await ask(api, { path: '/admin/queues', key: null, headers });
      expect({ status: answer.status, ask: answer.headers['www-authenticate'] }).toEqual({
        status: 401,
        ask: 'Basic realm="Millrace", charset="UTF-8"',
      });
    }
  });

  it.each([
    ['a viewer', { workspace: 'default', role: 'viewer' }],
    ['an admin of another workspace', { workspace: 'other', role: 'admin' }],
  ] as const)('keeps out %s', async (_name, key) => {
    expect((await ask(api, { path: '/admin/queues', key: await api.newKey(key) })).status).toBe(403);
  });

  it('lets an operator look, by bearer key or by password', async () => {
    const key = await api.newKey({ workspace: 'default', role: 'operator' });
    for (const question of [{ key }, { key: null, headers: basic(key) }, { key: null, headers: basic(TEST_ADMIN_KEY) }]) {
      const page = await ask(api, { path: '/admin/queues', ...question });
      expect({ status: page.status, type: page.headers['content-type'] }).toEqual({ status: 200, type: 'text/html; charset=utf-8' });
      expect(page.headers['content-security-policy']).toContain("script-src 'self';");
    }
    await post(api, '/v1/flows', { json: { flow: 'test.one', input: { secret: 'canary' } } });
    const queues = await ask(api, { path: '/admin/queues/api/queues?activeQueue=flow-phase&page=1&jobsPerPage=10' });
    expect(queues.json['queues']).toEqual([
      expect.objectContaining({ name: 'flow-phase', readOnlyMode: true }),
      expect.objectContaining({ name: 'data-import', readOnlyMode: true }),
    ]);
    expect(queues.text).not.toContain('canary');
  });

  it('lets no write through', async () => {
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
      const answer = await ask(api, { method, path: '/admin/queues/api/queues/flow-phase/pause' });
      expect({ method, status: answer.status, allow: answer.headers.allow }).toEqual({ method, status: 405, allow: 'GET, HEAD' });
    }
  });
});
