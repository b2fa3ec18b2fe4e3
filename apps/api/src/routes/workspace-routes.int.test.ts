// Workspaces: listed, and given a share by those who may.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ask } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
let foreign: string;
beforeAll(async () => {
  api = await startTestApi();
  foreign = await api.newKey({ workspace: 'busy', role: 'admin' });
  await api.newKey({ workspace: 'another', role: 'viewer' });
});
afterAll(() => api.stop());

const change = (name: string, body: unknown, key?: string) =>
  ask(api, { method: 'PATCH', path: `/v1/workspaces/${name}`, body: JSON.stringify(body), ...(key === undefined ? {} : { key }) });
const namesOf = (answer: { json: Record<string, unknown> }) => (answer.json['items'] as { name: string }[]).map(({ name }) => name);

describe('/v1/workspaces', () => {
  it('lists all to admins of default, page by page, and to others their own', async () => {
    const all = await ask(api, { path: '/v1/workspaces' });
    expect(namesOf(all)).toEqual(['another', 'busy', 'default']);
    expect(all.json['items']).toContainEqual({ name: 'busy', weight: 1, createdAt: expect.stringMatching(/Z$/) });
    const first = await ask(api, { path: '/v1/workspaces?limit=2' });
    expect(namesOf(first)).toEqual(['another', 'busy']);
    expect(namesOf(await ask(api, { path: `/v1/workspaces?cursor=${String(first.json['nextCursor'])}` }))).toEqual(['default']);
    expect(namesOf(await ask(api, { path: '/v1/workspaces', key: foreign }))).toEqual(['busy']);
  });

  it('gives a workspace another share', async () => {
    const answer = await change('busy', { weight: 7 });
    expect([answer.status, answer.json['name'], answer.json['weight']]).toEqual([200, 'busy', 7]);
    expect((await ask(api, { path: '/v1/workspaces', key: foreign })).json['items']).toMatchObject([{ name: 'busy', weight: 7 }]);
  });

  it.each([{ weight: 0 }, { weight: 101 }, { weight: 1.5 }, { weight: '3' }, {}, { weight: 2, name: 'other' }])(
    'refuses %j',
    async (body) => {
      expect((await change('busy', body)).status).toBe(422);
    },
  );

  it('knows no workspace that is not there, and lets nobody else change the shares', async () => {
    expect((await change('missing', { weight: 2 })).json['code']).toBe('not-found');
    expect((await change('busy', { weight: 2 }, foreign)).json['code']).toBe('insufficient-role');
  });
});
