// What must be refused, row by row, and that nothing of it stays behind.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ERROR_TABLE, PROBLEM_TYPE_BASE, type ErrorCode } from '@millrace/shared';
import { ask, post, type Answer, type Question } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

const GOOD = '{"flow":"test.one","input":{}}';
const UNKNOWN_ID = '01900000-0000-7000-8000-00000000000f';
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

type Row = [name: string, question: Partial<Question>, code: ErrorCode, pointer?: string];
const cases = (rows: readonly Row[]) => rows.map(([name, question, code, pointer]) => ({ name, question, code, pointer }));
const flowBody = (body: unknown): Partial<Question> => ({ body: JSON.stringify(body) });
const rawBody = (body: string | Buffer): Partial<Question> => ({ body });
const typed = (type: string): Partial<Question> => ({ body: GOOD, headers: { 'content-type': type } });

const BODIES: Row[] = [
  ['a body that is cut off', rawBody('{"a":'), 'malformed-json'],
  ['an empty body', rawBody(''), 'empty-body'],
  ['a body of blanks', rawBody('  \n '), 'empty-body'],
  ['an array', rawBody('[]'), 'validation', ''],
  ['a string', rawBody('"x"'), 'validation', ''],
  ['a number', rawBody('7'), 'validation', ''],
  ['null', rawBody('null'), 'validation', ''],
  ['text/plain', typed('text/plain'), 'unsupported-media-type'],
  ['a form', typed('application/x-www-form-urlencoded'), 'unsupported-media-type'],
  ['multipart', typed('multipart/form-data; boundary=x'), 'unsupported-media-type'],
  ['UTF-16', typed('application/json; charset=utf-16'), 'unsupported-media-type'],
  ['an unknown parameter of the type', typed('application/json; version=2'), 'unsupported-media-type'],
  [
    'a compressed body',
    { body: GOOD, headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } },
    'unsupported-media-type',
  ],
  ['bytes that are not UTF-8', rawBody(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])), 'invalid-encoding'],
  [
    'an overlong encoding',
    rawBody(Buffer.concat([Buffer.from('{"flow":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')])),
    'invalid-encoding',
  ],
  ['one byte over 1 MiB', rawBody(`{"flow":"${'x'.repeat(1024 * 1024)}"}`), 'payload-too-large'],
  ['10,000 levels', rawBody(`{"flow":"test.one","input":${nested(10_000)}}`), 'too-deep'],
  ['33 levels', rawBody(`{"flow":"test.one","input":${nested(32)}}`), 'too-deep'],
  [
    '1,001 keys',
    flowBody({ flow: 'test.one', input: Object.fromEntries(Array.from({ length: 1_001 }, (_, index) => [`k${index}`, 1])) }),
    'too-deep',
    '/input',
  ],
  ['__proto__', rawBody('{"flow":"test.one","input":{},"__proto__":{"isAdmin":true}}'), 'forbidden-key', '/__proto__'],
  ['__proto__ in the input', rawBody('{"flow":"test.one","input":{"a":[{"__proto__":1}]}}'), 'forbidden-key', '/input/a/0/__proto__'],
  [
    'constructor.prototype',
    rawBody('{"flow":"test.one","input":{"constructor":{"prototype":{"x":1}}}}'),
    'forbidden-key',
    '/input/constructor/prototype',
  ],
  ['NUL in a value', rawBody('{"flow":"test.one","input":{"a":"x\\u0000"}}'), 'nul-character', '/input/a'],
  ['NUL in a key', rawBody('{"flow":"test.one","input":{"a\\u0000":1}}'), 'nul-character', '/input'],
  ['half a surrogate pair', rawBody('{"flow":"test.one","input":{"a":"\\ud800"}}'), 'invalid-unicode', '/input/a'],
  ['a text over 64 KiB', flowBody({ flow: 'test.one', input: { a: 'x'.repeat(65_537) } }), 'validation', '/input/a'],
  ['a number that is infinite to us', rawBody('{"flow":"test.one","input":{"a":[1,1e999]}}'), 'validation', '/input/a/1'],
  ['an unknown name with a slash', flowBody({ flow: 'test.one', input: {}, 'a/b~c': 1 }), 'unknown-field', '/a~1b~0c'],
  ['a number written as text', flowBody({ flow: 'test.one', input: {}, priority: '5' }), 'validation', '/priority'],
  ['priority 0', flowBody({ flow: 'test.one', input: {}, priority: 0 }), 'validation', '/priority'],
  ['priority 101', flowBody({ flow: 'test.one', input: {}, priority: 101 }), 'validation', '/priority'],
  ['priority 1.5', flowBody({ flow: 'test.one', input: {}, priority: 1.5 }), 'validation', '/priority'],
  ['priority null', flowBody({ flow: 'test.one', input: {}, priority: null }), 'validation', '/priority'],
  ['priority 2^53 + 1', rawBody('{"flow":"test.one","input":{},"priority":9007199254740993}'), 'validation', '/priority'],
  ['an unknown flow', flowBody({ flow: 'test.none', input: {} }), 'unknown-flow', '/flow'],
  ['a flow in the wrong case', flowBody({ flow: 'Test.One', input: {} }), 'unknown-flow', '/flow'],
  ['a flow name of 300 characters', flowBody({ flow: 'x'.repeat(300), input: {} }), 'unknown-flow', '/flow'],
  ['a flow named like a method of objects', flowBody({ flow: 'toString', input: {} }), 'unknown-flow', '/flow'],
  ['no input', flowBody({ flow: 'test.one' }), 'validation', '/input'],
  [
    'an input that does not fit',
    flowBody({ flow: 'test.strict', input: { account: '', lines: [{ count: 1 }, { count: 'x' }] } }),
    'validation',
    '/input/account',
  ],
  [
    'an unknown field of a strict input',
    flowBody({ flow: 'test.strict', input: { account: 'a', more: 1 } }),
    'unknown-field',
    '/input/more',
  ],
  ['a status', flowBody({ flow: 'test.one', input: {}, status: 'succeeded' }), 'unknown-field', '/status'],
  ['a workspace', flowBody({ flow: 'test.one', input: {}, workspace: 'other' }), 'unknown-field', '/workspace'],
  ['an unknown field with markup', flowBody({ flow: 'test.one', input: {}, '<img src=x onerror=alert(1)>': 1 }), 'unknown-field'],
  ['a cycle', flowBody({ flow: 'test.cycle', input: {} }), 'invalid-flow', '/input'],
  ['no phase', flowBody({ flow: 'test.empty', input: {} }), 'invalid-flow', '/input'],
  [
    '33 tags',
    flowBody({ flow: 'test.one', input: {}, tags: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`t${index}`, 'x'])) }),
    'validation',
    '/tags',
  ],
  ['a tag name with a blank', flowBody({ flow: 'test.one', input: {}, tags: { 'a b': 'x' } }), 'validation', '/tags/a b'],
  ['a tag of 257 characters', flowBody({ flow: 'test.one', input: {}, tags: { a: 'x'.repeat(257) } }), 'validation', '/tags/a'],
  ['a tag that is a number', flowBody({ flow: 'test.one', input: {}, tags: { a: 1 } }), 'validation', '/tags/a'],
  ['runAt without offset', flowBody({ flow: 'test.one', input: {}, runAt: '2030-01-01T00:00:00' }), 'validation', '/runAt'],
  [
    'runAt in eleven years',
    flowBody({ flow: 'test.one', input: {}, runAt: new Date(Date.now() + 11 * 366 * 86_400_000).toISOString() }),
    'validation',
    '/runAt',
  ],
  [
    'runAt in ten years and two days',
    flowBody({ flow: 'test.one', input: {}, runAt: new Date(Date.now() + (10 * 365.25 + 2) * 86_400_000).toISOString() }),
    'validation',
    '/runAt',
  ],
  ['runAt as a number', flowBody({ flow: 'test.one', input: {}, runAt: 5 }), 'validation', '/runAt'],
  [
    'an empty Idempotency-Key',
    { body: GOOD, headers: { 'content-type': 'application/json', 'idempotency-key': '' } },
    'idempotency-key-invalid',
  ],
  [
    'an Idempotency-Key of 300 characters',
    { body: GOOD, headers: { 'content-type': 'application/json', 'idempotency-key': 'x'.repeat(300) } },
    'idempotency-key-invalid',
  ],
  [
    'an Idempotency-Key with a blank',
    { body: GOOD, headers: { 'content-type': 'application/json', 'idempotency-key': 'a b' } },
    'idempotency-key-invalid',
  ],
  [
    'two Idempotency-Keys',
    { body: GOOD, headers: { 'content-type': 'application/json', 'idempotency-key': ['a', 'b'] } },
    'idempotency-key-invalid',
  ],
];

const ADDRESSES: Row[] = [
  ['limit 0', { path: '/v1/flows?limit=0' }, 'validation', 'limit'],
  ['limit -1', { path: '/v1/flows?limit=-1' }, 'validation', 'limit'],
  ['limit 1e9', { path: '/v1/flows?limit=1e9' }, 'validation', 'limit'],
  ['limit 201', { path: '/v1/flows?limit=201' }, 'validation', 'limit'],
  ['limit abc', { path: '/v1/flows?limit=abc' }, 'validation', 'limit'],
  ['limit twice', { path: '/v1/flows?limit=1&limit=2' }, 'validation', 'limit'],
  ['an unknown parameter', { path: '/v1/flows?sort=password_hash' }, 'unknown-field', 'sort'],
  ['a parameter named __proto__', { path: '/v1/flows?__proto__=1' }, 'unknown-field', '__proto__'],
  ['an unknown status', { path: '/v1/flows?status=queued,done' }, 'validation', 'status/1'],
  ['a tag without a colon', { path: '/v1/flows?tag=abc' }, 'validation', 'tag/0'],
  ['a search of 201 characters', { path: `/v1/flows?q=${'a'.repeat(201)}` }, 'validation', 'q'],
  ['NUL in a search', { path: '/v1/flows?q=a%00' }, 'nul-character', 'q'],
  ['a bad percent sign in the query', { path: '/v1/flows?q=%zz' }, 'invalid-encoding'],
  ['bytes in the query that are not UTF-8', { path: '/v1/flows?q=%ff' }, 'invalid-encoding'],
  ['a bad percent sign in the path', { path: '/v1/flows/%zz' }, 'invalid-encoding'],
  ['a cursor that is empty', { path: '/v1/flows?cursor=' }, 'invalid-cursor'],
  ['a cursor that is too long', { path: `/v1/flows?cursor=${'a'.repeat(7_000)}` }, 'invalid-cursor'],
  ['a cursor that is garbage', { path: '/v1/flows?cursor=abc' }, 'invalid-cursor'],
  [
    'a cursor that was signed by nobody',
    { path: `/v1/flows?cursor=${Buffer.from(UNKNOWN_ID).toString('base64url')}.${'A'.repeat(22)}` },
    'invalid-cursor',
  ],
  ['an unknown id', { path: `/v1/flows/${UNKNOWN_ID}` }, 'not-found'],
  ['an id that is no UUID', { path: '/v1/flows/123' }, 'not-found'],
  ['an id with NUL', { path: '/v1/flows/%00' }, 'not-found'],
  ['an id that climbs', { path: '/v1/flows/%2e%2e%2fkeys' }, 'not-found'],
  ['a double slash', { path: '/v1//flows' }, 'not-found'],
  ['a trailing slash', { path: '/v1/flows/' }, 'not-found'],
  ['another case', { path: '/V1/flows' }, 'not-found'],
  ['a matrix parameter', { path: '/v1/flows;a=b' }, 'not-found'],
  ['an unknown path', { path: '/nothing/here' }, 'not-found'],
  ['a hidden file', { path: '/.git/config' }, 'not-found'],
  ['a part that is not built', { method: 'POST', path: `/v1/flows/${UNKNOWN_ID}/pause` }, 'not-found'],
  ['PATCH', { method: 'PATCH', path: '/v1/flows' }, 'method-not-allowed'],
  ['TRACE', { method: 'TRACE', path: '/v1/flows' }, 'method-not-allowed'],
  [
    'DELETE by override header',
    { method: 'PUT', path: `/v1/keys/${UNKNOWN_ID}`, headers: { 'x-http-method-override': 'DELETE' } },
    'method-not-allowed',
  ],
  [
    'HEAD on a stream',
    { method: 'HEAD', path: `/v1/flows/${UNKNOWN_ID}/events`, headers: { accept: 'text/event-stream' } },
    'method-not-allowed',
  ],
  ['a body for an action', { method: 'POST', path: `/v1/flows/${UNKNOWN_ID}/cancel`, body: '{"force":true}' }, 'unknown-field', '/force'],
];

/** What must never be in an answer: markup, paths and places of our code. */
const LEAKS = /<|node_modules|at .*\.ts/;

function seen(answer: Answer) {
  return {
    status: answer.status,
    type: answer.headers['content-type'],
    body: answer.json,
    isRequestIdEqual: answer.json['requestId'] === answer.headers['x-request-id'],
    leaks: LEAKS.test(answer.text),
  };
}

function problem(code: ErrorCode, pointer?: string) {
  const { status } = ERROR_TABLE[code];
  const anyText = expect.any(String) as unknown;
  const fault = expect.objectContaining({ pointer: pointer ?? anyText, message: anyText }) as unknown;
  const faults = expect.arrayContaining([fault]) as unknown;
  const members = { code, type: `${PROBLEM_TYPE_BASE}${code}`, ...(status === 422 ? { errors: faults } : {}) };
  return {
    status,
    type: 'application/problem+json',
    body: expect.objectContaining(members) as unknown,
    isRequestIdEqual: true,
    leaks: false,
  };
}

describe('POST /v1/flows refuses', () => {
  it.each(cases(BODIES))('$name', async ({ question, code, pointer }) => {
    expect(seen(await ask(api, { method: 'POST', path: '/v1/flows', ...question }))).toEqual(problem(code, pointer));
  });

  it('a body without a media type', async () => {
    expect(seen(await ask(api, { method: 'POST', path: '/v1/flows', headers: { 'content-type': '' }, body: GOOD }))).toEqual(
      problem('unsupported-media-type'),
    );
  });

  it('and leaves nothing behind', async () => {
    const found = await api.database.main.query(
      'SELECT (SELECT count(*) FROM millrace.flows)::int AS flows, (SELECT count(*) FROM millrace.idempotency_keys)::int AS keys',
    );
    expect(found.rows[0]).toEqual({ flows: 0, keys: 0 });
    expect(await api.waitingCount()).toBe(0);
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });
});

describe('addresses and methods are refused:', () => {
  it.each(cases(ADDRESSES).filter(({ question }) => question.method !== 'HEAD'))('$name', async ({ question, code, pointer }) => {
    expect(seen(await ask(api, { path: '/', ...question }))).toEqual(problem(code, pointer));
  });

  it.each(cases(ADDRESSES).filter(({ question }) => question.method === 'HEAD'))('$name', async ({ question }) => {
    const answer = await ask(api, { path: '/', ...question });
    expect({ status: answer.status, allow: answer.headers.allow }).toEqual({ status: 405, allow: 'GET, OPTIONS' });
  });

  it('names the allowed methods', async () => {
    const answer = await ask(api, { method: 'PATCH', path: '/v1/flows' });
    expect(answer.headers.allow).toBe('POST, GET, HEAD, OPTIONS');
  });

  it('asks for a key before it says that a path or method does not exist', async () => {
    for (const question of [{ path: '/v1/nothing' }, { path: '/v1' }, { method: 'PATCH', path: '/v1/flows' }, { path: '/v1/flows/%zz' }]) {
      expect(seen(await ask(api, { ...question, key: null }))).toEqual(problem('unauthorized'));
    }
  });
});

describe('a cursor that is none', () => {
  it.each([
    '/v1/datasets/nowhere/rows',
    `/v1/imports/${UNKNOWN_ID}/rejects`,
    `/v1/schedules/${UNKNOWN_ID}/fires`,
    `/v1/flows/${UNKNOWN_ID}/events`,
  ])('is told before %s is looked for', async (path) => {
    const answer = await ask(api, { path: `${path}?cursor=none` });
    expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status: 400, code: 'invalid-cursor' });
    expect((await ask(api, { path })).status).toBe(404);
  });
});

describe('an Accept header that rules out every answer', () => {
  const refused = (answer: { status: number; json: Record<string, unknown> }) => ({ status: answer.status, code: answer.json['code'] });
  const none = { status: 406, code: 'not-acceptable' };

  it.each([
    ['GET', '/v1/flows', 'text/html'],
    ['GET', '/v1/flows', 'text/event-stream'],
    ['GET', `/v1/flows/${UNKNOWN_ID}/events`, 'text/csv'],
    ['GET', `/v1/imports/${UNKNOWN_ID}/rejects`, 'text/event-stream'],
    ['POST', '/v1/flows', 'application/xml'],
    ['POST', `/v1/flows/${UNKNOWN_ID}/cancel`, 'application/json;q=0'],
  ])('%s %s with %s', async (method, path, accept) => {
    const answer = await ask(api, { method, path, headers: { accept } });
    expect([refused(answer), answer.headers['content-type']]).toEqual([none, 'application/problem+json']);
  });

  it('is found after the key and the method, and before the body', async () => {
    const headers = { accept: 'text/html', 'content-type': 'text/plain' };
    expect((await ask(api, { path: '/v1/flows', key: null, headers })).status).toBe(401);
    expect((await ask(api, { method: 'PATCH', path: '/v1/flows', headers })).status).toBe(405);
    expect(refused(await ask(api, { method: 'POST', path: '/v1/flows', headers, body: '{' }))).toEqual(none);
    expect((await post(api, '/v1/flows', { json: { flow: 'test.one', input: {} }, headers: { ...headers, accept: '*/*' } })).status).toBe(
      415,
    );
  });

  it('is no matter where there is no content, and below other paths', async () => {
    expect((await ask(api, { method: 'DELETE', path: '/v1/datasets/none', headers: { accept: 'text/html' } })).status).toBe(404);
    expect((await ask(api, { path: '/health/live', headers: { accept: 'text/html' } })).status).toBe(200);
  });
});

describe('what looks odd but is fine is accepted:', () => {
  it.each([
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(GOOD)])],
    ['the last of duplicate keys', '{"flow":"test.none","flow":"test.one","input":{}}'],
    [
      'right-to-left text, zero-width and 4-byte characters',
      JSON.stringify({ flow: 'test.one', input: { name: '\u202eabc\u200b\u{1f600}' } }),
    ],
    ['markup', JSON.stringify({ flow: 'test.one', input: { name: '<img src=x onerror=alert(1)>' } })],
    ['SQL', JSON.stringify({ flow: 'test.one', input: { name: "'; DROP TABLE jobs;--" } })],
    ['32 levels', `{"flow":"test.one","input":${'{"a":'.repeat(30)}1${'}'.repeat(30)}}`],
    ['runAt in the past', JSON.stringify({ flow: 'test.one', input: {}, runAt: '2001-01-01T00:00:00+02:00' })],
  ])('%s', async (_name, body) => {
    const created = await ask(api, { method: 'POST', path: '/v1/flows', body });
    expect(created.status).toBe(202);
    const read = await ask(api, { path: String(created.headers.location) });
    expect(read.json['input']).toEqual((JSON.parse(body.toString().replace('\ufeff', '')) as { input: unknown }).input);
    expect(read.json['flow']).toBe('test.one');
  });

  it('a type with charset and odd spacing', async () => {
    const answer = await ask(api, { method: 'POST', path: '/v1/flows', ...typed('Application/JSON ; charset="UTF-8"') });
    expect(answer.status).toBe(202);
  });

  it.each(['*/*', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'application/*', 'application/problem+json', 'json'])(
    'Accept: %s gets JSON',
    async (accept) => {
      const answer = await ask(api, { path: '/v1/flows', headers: { accept } });
      expect({ status: answer.status, type: answer.headers['content-type'] }).toEqual({ status: 200, type: 'application/json' });
    },
  );

  it('forged forwarding headers change nothing', async () => {
    const answer = await post(api, '/v1/flows', {
      json: { flow: 'test.one', input: {} },
      headers: { 'content-type': 'application/json', host: 'evil.example', 'x-forwarded-proto': 'https', 'x-forwarded-for': '127.0.0.1' },
    });
    expect({ status: answer.status, location: String(answer.headers.location).startsWith('/v1/flows/') }).toEqual({
      status: 202,
      location: true,
    });
  });
});
