// Dead letters over REST: what is listed, exported, replayed and purged, by whom, and what is refused.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '@millrace/shared';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startDead } from '../test-support/dead-flows.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

type Incident = {
  id: string;
  cause: string;
  flow: string;
  phase: string;
  count: number;
  firstAt: string;
  lastAt: string;
  sample: string[];
};

let api: TestApi;
let key: string;
let workspaces = 0;

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

beforeEach(async () => {
  workspaces += 1;
  key = await api.newKey({ workspace: `dead${workspaces}`, role: 'operator' });
});

const get = (path: string, headers: Record<string, string> = {}) => ask(api, { path, key, headers });
const send = (path: string, json: unknown, headers: Record<string, string> = {}) => post(api, path, { json, key, headers });
const dead = (message: string, changes: Partial<Parameters<typeof startDead>[1]> = {}) => startDead(api, { key, message, ...changes });
const items = (answer: Answer) => answer.json['items'] as Incident[];
const list = async (query = '') => items(await get(`/v1/dead${query}`));

describe('GET /v1/dead', () => {
  it('groups what failed in the same way', async () => {
    const flows = [await dead('no order 1'), await dead('no order 2')];
    await dead('no order 3', { code: 'TypeError' });
    const answer = await get('/v1/dead');
    expect(answer.status).toBe(200);
    expect(answer.json['nextCursor']).toBeNull();
    expect(items(answer)).toEqual([
      expect.objectContaining({ cause: 'TypeError: no order <*>', count: 1 }),
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        cause: 'Error: no order <*>',
        flow: 'test.one',
        phase: 'only',
        count: 2,
        countCapped: false,
        firstAt: expect.stringMatching(/Z$/),
        lastAt: expect.stringMatching(/Z$/),
        sample: flows.toReversed(),
      },
    ]);
  });

  it('is filtered and paged', async () => {
    for (const code of ['A', 'B', 'C']) await dead('no', { code });
    expect((await list('?code=B')).map((one) => one.cause)).toEqual(['B: no']);
    expect(await list('?flow=test.chain')).toEqual([]);
    expect(await list('?phase=only&failedBefore=2120-01-01T00:00:00Z')).toHaveLength(3);
    const seen: string[] = [];
    for (let path: string | undefined = '/v1/dead?limit=1'; path !== undefined;) {
      const page = await get(path);
      seen.push(...items(page).map((one) => one.cause));
      const cursor = page.json['nextCursor'];
      path = typeof cursor === 'string' ? `/v1/dead?limit=1&cursor=${encodeURIComponent(cursor)}` : undefined;
    }
    expect(seen).toEqual(['C: no', 'B: no', 'A: no']);
  });

  it('shows an incident with its phases, page by page', async () => {
    const flows = [await dead('no 1'), await dead('no 2'), await dead('no 3')];
    const [incident] = await list();
    const first = await get(`/v1/dead/${incident?.id}?limit=2`);
    expect(first.json).toMatchObject({
      id: incident?.id,
      count: 3,
      phases: [
        { flowId: flows[2], flowStatus: 'failed', status: 'failed', attempts: 1, error: { code: 'Error', message: 'no 3' } },
        { flowId: flows[1] },
      ],
    });
    const second = await get(`/v1/dead/${incident?.id}?limit=2&cursor=${String(first.json['nextCursor'])}`);
    expect(second.json).toMatchObject({ phases: [{ flowId: flows[0] }], nextCursor: null });
    expect((await get(`/v1/dead?cursor=${String(first.json['nextCursor'])}`)).status).toBe(400);
  });

  it('shows nothing of another workspace, and tells what it tells about what is not there', async () => {
    await dead('no');
    const [incident] = await list();
    const foreign = await api.newKey({ workspace: 'foreign', role: 'admin' });
    expect(items(await ask(api, { path: '/v1/dead', key: foreign }))).toEqual([]);
    const answers = [
      await ask(api, { path: `/v1/dead/${incident?.id}`, key: foreign }),
      await ask(api, { path: `/v1/dead/${newId()}`, key: foreign }),
    ];
    const [one, other] = answers.map((answer) => answer.text.replaceAll(String(answer.json['requestId']), ''));
    expect(answers.map((answer) => answer.status)).toEqual([404, 404]);
    expect(one).toBe(other);
    const replay = await post(api, '/v1/dead/replay', { json: { ids: [incident?.id] }, key: foreign });
    expect([replay.status, replay.json['replayed']]).toEqual([202, 0]);
    expect(await list()).toHaveLength(1);
  });
});

describe('an export', () => {
  it('is NDJSON with every phase and its input', async () => {
    const flow = await dead('no 1', { flow: 'test.strict', input: { account: 'a,"b' } });
    await dead('no 2');
    const answer = await get('/v1/dead', { accept: 'application/x-ndjson' });
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    expect(answer.headers['content-disposition']).toBe('attachment; filename="dead-letters.ndjson"');
    const lines = answer.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toHaveLength(2);
    expect(lines.find((line) => line['flowId'] === flow)).toMatchObject({
      cause: 'Error: no <*>',
      code: 'Error',
      message: 'no 1',
      flow: 'test.strict',
      phase: 'only',
      status: 'failed',
      attempts: 1,
      input: { account: 'a,"b' },
    });
  });

  it('is CSV whose cells no spreadsheet runs', async () => {
    await dead('=HYPERLINK("x")');
    const answer = await get('/v1/dead', { accept: 'text/csv' });
    expect(answer.headers['content-type']).toContain('text/csv');
    const [header, row, ...rest] = answer.text.trimEnd().split('\r\n');
    expect(header).toBe('incident,cause,flow,phase,flowId,phaseId,status,attempts,code,message,failedAt,createdAt,tags,input');
    expect(row).toContain(`"'=HYPERLINK(""x"")"`);
    expect(rest).toEqual([]);
    expect((await get('/v1/dead?code=other', { accept: 'text/csv' })).text).toBe(`${header}\r\n`);
    expect((await ask(api, { method: 'HEAD', path: '/v1/dead', key, headers: { accept: 'text/csv' } })).text).toBe('');
  });

  it('is JSON for those who prefer it', async () => {
    expect((await get('/v1/dead', { accept: 'text/csv;q=0.5, application/json' })).json['items']).toEqual([]);
    expect((await get('/v1/dead', { accept: '*/*' })).json['items']).toEqual([]);
  });
});

describe('POST /v1/dead/replay and /purge', () => {
  it('answers how many and the operation, which can be followed and stopped', async () => {
    const flows = [await dead('no 1'), await dead('no 2')];
    const [incident] = await list();
    const answer = await send('/v1/dead/replay', { ids: [incident?.id], ratePerSecond: 5 });
    expect(answer.status).toBe(202);
    expect(answer.json).toMatchObject({
      replayed: 2,
      capped: false,
      operation: {
        kind: 'replay',
        status: 'queued',
        total: 2,
        done: 0,
        ratePerSecond: 5,
        canary: null,
        selection: { ids: [incident?.id] },
      },
    });
    const { id, links } = answer.json['operation'] as { id: string; links: { self: string; stop: string } };
    expect(answer.headers.location).toBe(`/v1/operations/${id}`);
    expect((await get(links.self)).json).toEqual(answer.json['operation']);
    expect(items(await get('/v1/operations?status=queued,running&kind=replay')).map((one) => one.id)).toEqual([id]);
    expect((await get('/v1/operations?status=completed')).json['items']).toEqual([]);
    const stopped = await ask(api, { method: 'POST', path: links.stop, key });
    expect([stopped.status, stopped.json['status']]).toEqual([202, 'stopped']);
    expect((await ask(api, { method: 'POST', path: links.stop, key })).json['code']).toBe('invalid-state');
    const foreign = await api.newKey({ workspace: 'stranger', role: 'admin' });
    expect((await ask(api, { path: links.self, key: foreign })).status).toBe(404);
    expect((await ask(api, { method: 'POST', path: links.stop, key: foreign })).status).toBe(404);
    expect((await ask(api, { path: '/v1/operations', key: foreign })).json['items']).toEqual([]);
    expect(flows).toHaveLength(2);
  });

  it('feels its way when there are more than a few', async () => {
    for (let n = 0; n < 6; n += 1) await dead(`no ${n}`);
    const canary = { released: 0, open: 0, recovered: 0, returned: 0, otherwise: 0, unjudged: 0, step: 0 };
    expect((await send('/v1/dead/replay', { filter: {} })).json).toMatchObject({ replayed: 6, operation: { canary } });
    expect((await send('/v1/dead/replay', { filter: { code: 'Error' }, canary: false })).json).toMatchObject({
      replayed: 6,
      operation: { canary: null },
    });
    expect((await send('/v1/dead/replay', { filter: { code: 'Other' } })).json).toMatchObject({ replayed: 0 });
    expect((await send('/v1/dead/purge', { filter: { flow: 'test.one' } })).json).toMatchObject({
      purged: 6,
      operation: { kind: 'purge', canary: null },
    });
  });

  it('makes one operation of one Idempotency-Key', async () => {
    await dead('no');
    const headers = { 'idempotency-key': 'once' };
    const [first, second] = [
      await send('/v1/dead/replay', { filter: {} }, headers),
      await send('/v1/dead/replay', { filter: {} }, headers),
    ];
    expect(second.text).toBe(first.text);
    expect([first.headers['idempotency-replayed'], second.headers['idempotency-replayed']]).toEqual([undefined, 'true']);
    expect(second.headers.location).toBe(first.headers.location);
    expect((await get('/v1/operations')).json['items']).toHaveLength(1);
    expect((await send('/v1/dead/replay', { filter: { code: 'x' } }, headers)).json['code']).toBe('idempotency-key-reused');
    // Another route has keys of its own.
    expect((await send('/v1/dead/purge', { filter: {} }, headers)).status).toBe(202);
  });

  it.each<[string, unknown, string]>([
    ['neither ids nor filter', {}, ''],
    ['both', { ids: [newId()], filter: {} }, ''],
    ['no ids', { ids: [] }, '/ids'],
    ['an id that is none', { ids: ['x'] }, '/ids/0'],
    ['too many ids', { ids: Array.from({ length: 201 }, () => newId()) }, '/ids'],
    ['an unknown criterion', { filter: { colour: 'red' } }, '/filter/colour'],
    ['a time that is none', { filter: { failedAfter: 'yesterday' } }, '/filter/failedAfter'],
    ['no rate', { filter: {}, ratePerSecond: 0 }, '/ratePerSecond'],
    ['too high a rate', { filter: {}, ratePerSecond: 1e9 }, '/ratePerSecond'],
    ['an unknown field', { filter: {}, dryRun: true }, '/dryRun'],
  ])('refuses %s', async (_, body, pointer) => {
    for (const path of ['/v1/dead/replay', '/v1/dead/purge']) {
      const answer = await send(path, body);
      expect([answer.status, (answer.json['errors'] as { pointer: string }[])[0]?.pointer]).toEqual([422, pointer]);
    }
  });

  it('is not for viewers', async () => {
    const viewer = await api.newKey({ workspace: 'default', role: 'viewer' });
    for (const path of ['/v1/dead/replay', '/v1/dead/purge'])
      expect((await post(api, path, { json: { filter: {} }, key: viewer })).status).toBe(403);
    expect((await ask(api, { path: '/v1/dead', key: viewer })).status).toBe(200);
  });
});
