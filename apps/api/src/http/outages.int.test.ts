// Servers that are away: what is still served, what is refused, and how fast.
import { afterEach, describe, expect, it } from '@jest/globals';
import { ask, post } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi | undefined;
afterEach(async () => {
  await api?.stop();
  api = undefined;
});

describe('with Redis away', () => {
  it('accepts and shows flows, keeps them for later, and says that it is degraded', async () => {
    api = await startTestApi({ outage: ['redis'] });
    const created = await post(api, '/v1/flows', { json: { flow: 'test.one', input: {} } });
    expect(created.status).toBe(202);
    const id = String(created.json['id']);
    expect((await ask(api, { path: `/v1/flows/${id}` })).json['status']).toBe('queued');
    expect((await ask(api, { path: `/v1/flows/${id}/progress` })).json).toEqual({ items: [] });
    expect((await ask(api, { method: 'POST', path: `/v1/flows/${id}/cancel` })).json['status']).toBe('cancelled');
    const found = await api.database.main.query('SELECT dispatched FROM millrace.phases WHERE flow_id = $1', [id]);
    expect(found.rows).toEqual([{ dispatched: false }]);
    const ready = await ask(api, { path: '/health/ready', key: null });
    expect({ status: ready.status, json: ready.json }).toEqual({
      status: 200,
      json: { status: 'degraded', parts: { postgres: 'ok', redis: 'away' } },
    });
    expect((await ask(api, { path: '/health/redis', key: null })).json).toEqual({ status: 'away', pingMs: null, queues: {} });
    expect((await ask(api, { path: '/admin/queues' })).json['code']).toBe('dependency-unavailable');
  });
});

describe('with PostgreSQL away', () => {
  it('refuses quickly with Retry-After, and stays alive', async () => {
    api = await startTestApi({ outage: ['postgres'] });
    const startedAt = performance.now();
    const answers = [
      await post(api, '/v1/flows', { json: { flow: 'test.one', input: {} } }),
      await ask(api, { path: '/v1/flows' }),
      await ask(api, { path: '/health/ready', key: null }),
    ];
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    for (const answer of answers) {
      expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status: 503, code: 'dependency-unavailable' });
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      expect(answer.text).not.toMatch(/ECONNREFUSED|127\.0\.0\.1/);
    }
    expect((await ask(api, { path: '/health/live', key: null })).json).toEqual({ status: 'ok' });
    const unknownKey = `mr_${'0'.repeat(32)}_${'A'.repeat(43)}`;
    expect((await ask(api, { path: '/v1/flows', key: unknownKey })).status).toBe(503);
  });
});
