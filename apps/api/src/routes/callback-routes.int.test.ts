// Services that call back: what they are told, and that nobody else learns or changes anything.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { memberId } from '@millrace/shared';
import { awaitCallback, cancelFlow, claimPhases, mintCallbackToken } from '@millrace/store';
import { ask, post, type Answer } from '../test-support/ask.ts';
import { startTestApi, type TestApi } from '../test-support/start-test-api.ts';

const BACKOFF = { type: 'fixed', delay: 60_000 } as const;
let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

/** A flow whose first phase waits for a callback, and the token for it. */
async function waiting(flow = 'test.chain'): Promise<{ flowId: string; token: string }> {
  const created = await post(api, '/v1/flows', { json: { flow, input: {} } });
  const flowId = String(created.json['id']);
  const id = memberId(flowId, 0);
  await api.database.main.query('UPDATE millrace.phases SET generation = 7 WHERE id = $1', [id]);
  const { results } = await claimPhases(api.database.hot, [{ id, generation: 7 }], { worker: 'w', leaseMs: 10_000 });
  const [result] = results;
  if (result?.kind !== 'claimed') throw new Error(`not claimed: ${result?.kind}`);
  await awaitCallback(api.database, { id, fence: result.phase.fence, worker: 'w', timeoutMs: 60_000, backoff: BACKOFF });
  return { flowId, token: await mintCallbackToken(api.database.main, { phaseId: id, run: 1, attempt: 1, backoff: BACKOFF }) };
}

const call = (token: string | null, json: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  post(api, '/v1/callbacks', { json, key: token, headers });
const flowOf = async (flowId: string) => (await ask(api, { path: `/v1/flows/${flowId}` })).json;

describe('POST /v1/callbacks', () => {
  it.each([[{ sum: 3 }], [null], [[1, 'x']], ['text']])('completes the phase with %j, once', async (output) => {
    const { flowId, token } = await waiting();
    const answer = await call(token, { output });
    expect([answer.status, answer.json]).toEqual([200, { status: 'completed' }]);
    expect(await flowOf(flowId)).toMatchObject({ outputs: { first: output }, phases: [{ status: 'completed' }, { status: 'queued' }] });
    const second = await call(token, { output });
    expect([second.status, second.json['code'], second.json['detail']]).toEqual([
      409,
      'invalid-state',
      'This attempt was ended before; the phase is completed.',
    ]);
  });

  it('dispatches what became ready', async () => {
    const { token } = await waiting();
    const before = await api.waitingCount();
    await call(token, { output: 1 });
    expect(await api.waitingCount()).toBeGreaterThanOrEqual(before);
  });

  it.each([
    [true, 'retrying', 'running'],
    [false, 'failed', 'failed'],
    [undefined, 'failed', 'failed'],
  ])('fails the attempt, retryable: %s', async (retryable, status, flowStatus) => {
    const { flowId, token } = await waiting();
    const answer = await call(token, {
      error: { code: 'disk-full', message: 'no room', ...(retryable === undefined ? {} : { retryable }) },
    });
    expect([answer.status, answer.json]).toEqual([200, { status }]);
    expect(await flowOf(flowId)).toMatchObject({
      status: flowStatus,
      phases: [{ status, attempts: 1, error: { code: 'disk-full', message: 'no room' } }, {}],
    });
  });

  it('gives a failure without a code one', async () => {
    const { flowId, token } = await waiting();
    await call(token, { error: { message: 'broken' } });
    expect(await flowOf(flowId)).toMatchObject({ error: { code: 'callback-failed', message: 'broken' } });
  });

  it.each<[string, unknown, string]>([
    ['neither output nor error', {}, ''],
    ['both', { output: 1, error: { message: 'x' } }, ''],
    ['an unknown field', { output: 1, result: 2 }, '/result'],
    ['an error without message', { error: {} }, '/error/message'],
    ['an error that is text', { error: 'x' }, '/error'],
    ['a code with blanks', { error: { code: 'disk full', message: 'x' } }, '/error/code'],
    ['a message that is too long', { error: { message: 'x'.repeat(2_001) } }, '/error/message'],
    ['text with NUL', { error: { message: 'a\0' } }, '/error/message'],
  ])('refuses %s and changes nothing', async (_, body, pointer) => {
    const { flowId, token } = await waiting();
    const answer = await call(token, body);
    expect([answer.status, (answer.json['errors'] as { pointer: string }[] | undefined)?.[0]?.pointer]).toEqual([422, pointer]);
    expect(await flowOf(flowId)).toMatchObject({ phases: [{ status: 'waiting' }, {}] });
  });

  it('takes an output as large as can be kept, and none that is larger', async () => {
    const { flowId, token } = await waiting();
    const outputOf = (sizeBytes: number) => Array.from({ length: sizeBytes / 64 }, () => 'x'.repeat(61));
    expect((await call(token, { output: [outputOf(1024 ** 2 + 2_048)] })).status).toBe(413);
    expect((await call(token, { output: outputOf(1024 ** 2 - 64) })).status).toBe(200);
    expect(await flowOf(flowId)).toMatchObject({ phases: [{ status: 'completed' }, {}] });
  });

  it('says 409 when the flow has ended', async () => {
    const { flowId, token } = await waiting();
    await cancelFlow(api.database, { flowId, workspace: 'default', by: 'test' });
    const answer = await call(token, { output: 1 });
    expect([answer.status, answer.json['detail']]).toEqual([409, 'The flow is cancelled.']);
  });

  it('knows nobody without a token, and nothing by a wrong one, the admin key included', async () => {
    const { token } = await waiting();
    for (const headers of [{}, { authorization: 'Basic x' }, { authorization: 'Bearer' }])
      expect((await call(null, { output: 1 }, headers)).status).toBe(401);
    const wrong = [`${token.slice(0, -4)}AAAA`, 'mrcb_x.y', 'x'];
    const answers = [
      ...(await Promise.all(wrong.map((one) => call(one, { output: 1 })))),
      await post(api, '/v1/callbacks', { json: { output: 1 } }),
    ];
    for (const answer of answers) {
      expect([answer.status, answer.json['code']]).toEqual([404, 'not-found']);
      expect(answer.text).not.toContain('mrcb_');
    }
  });

  it('opens nothing else', async () => {
    const { flowId, token } = await waiting();
    for (const path of [`/v1/flows/${flowId}`, '/v1/callbacks/', '/v1/callbacks/x', '/v1/keys'])
      expect((await ask(api, { path, key: token })).status).toBe(401);
    expect((await ask(api, { path: '/v1/callbacks', key: token })).status).toBe(405);
    expect((await ask(api, { path: '/v1/callbacks', key: null })).status).toBe(401);
    expect((await call(token, { output: 1 })).status).toBe(200);
  });
});
