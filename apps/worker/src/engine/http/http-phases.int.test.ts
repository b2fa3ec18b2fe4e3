// Phases that call a service which answers at once, rightly or wrongly.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { HttpDefinition, PhaseContext } from '@millrace/sdk';
import { LIMITS } from '@millrace/shared';
import { cancelFlow } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { Webhook } from 'standardwebhooks';
import type { FlowEngine } from '../create-flow-engine.ts';
import { createEngineFixture, onlyPhase, TEST_HTTP_SECRET, type EngineFixture } from '../test-support/engine-fixture.ts';
import { answerWith, startTestService, type TestService } from './test-support/test-service.ts';

const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 10 } } as const;
const OTHER_SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
let test: EngineFixture;
let engine: FlowEngine;
let service: TestService;

beforeAll(async () => {
  [test, service] = await Promise.all([createEngineFixture(), startTestService()]);
  engine = await test.engine();
});
beforeEach(() => {
  service.answers(answerWith(200, { ok: true }));
});
afterAll(async () => {
  await test.close();
  await service.close();
});

function phase(http: Partial<HttpDefinition['http']> = {}, options: Partial<HttpDefinition> = {}): HttpDefinition {
  return { retry: QUICK, ...options, http: { url: service.url, ...http } };
}

async function runOnly(http: Partial<HttpDefinition['http']> = {}, options: Partial<HttpDefinition> = {}) {
  const flowId = await test.start(test.define({ only: phase(http, options) }), { n: 1 });
  const { flow, phases } = await test.ended(flowId);
  const [only] = phases;
  if (only === undefined) throw new Error('there is no phase');
  return { flowId, flow, phase: only, requests: service.of(flowId) };
}

describe('the request of an http phase', () => {
  it('tells the service all it needs, signed so that it can be checked', async () => {
    const name = test.define({ first: { run: () => 'one' }, call: { needs: ['first'], ...phase() } });
    const flowId = await test.start(name, { n: 1 });
    await test.ended(flowId);
    const [request] = service.of(flowId);
    const phaseId = (await test.read(flowId)).phases[1]?.id ?? '';
    expect(request?.body).toEqual({
      flowId,
      flow: name,
      version: 1,
      phase: 'call',
      run: 1,
      attempt: 1,
      idempotencyKey: `${phaseId}-1`,
      input: { n: 1 },
      outputs: { first: 'one' },
      callback: { url: 'http://api.test/v1/callbacks', token: expect.stringMatching(/^mrcb_[\w-]+\.[\w-]{43}$/) },
    });
    expect(request?.isSigned).toBe(true);
    expect(request?.headers).toMatchObject({
      'webhook-id': `${phaseId}-1-1`,
      'content-type': 'application/json',
      accept: 'application/json',
    });
  });

  it('may have a body, headers, an address and a secret of its own', async () => {
    const { requests } = await runOnly({
      url: ({ input }) => `${service.url}?n=${(input as { n: number }).n}`,
      body: ({ flowId, input, callback }) => ({ flowId, mine: input, token: callback.token }),
      headers: () => ({ Authorization: 'Bearer of-the-service', Accept: 'text/plain' }),
      secret: () => OTHER_SECRET,
    });
    expect(requests[0]?.body).toEqual({ flowId: expect.any(String), mine: { n: 1 }, token: expect.stringMatching(/^mrcb_/) });
    expect(requests[0]?.headers).toMatchObject({ authorization: 'Bearer of-the-service', accept: 'text/plain' });
    const { text, headers } = requests[0] ?? { text: '', headers: {} };
    expect(() => new Webhook(OTHER_SECRET).verify(text, headers as Record<string, string>)).not.toThrow();
    expect(() => new Webhook(TEST_HTTP_SECRET).verify(text, headers as Record<string, string>)).toThrow('No matching');
  });

  it.each<[string, Partial<HttpDefinition['http']>, string]>([
    ['that nobody could check', { secret: () => '' }, 'http-unsigned'],
    ['with a secret that is none', { secret: () => 'hush-hush' }, 'http-unsigned'],
    ['to what is no address', { url: () => 'service' }, 'http-request-invalid'],
    ['to another kind of address', { url: () => 'file:///etc/passwd' }, 'http-request-invalid'],
    ['with a header that splits it', { headers: () => ({ 'x-a': 'hush-hush\r\nx-b: 1' }) }, 'http-request-invalid'],
    ['with a signature of its own', { headers: () => ({ 'Webhook-Signature': 'v1,x' }) }, 'http-request-invalid'],
    ['of more than 16 MiB', { body: () => 'x'.repeat(16 * 1024 ** 2) }, 'http-request-too-large'],
  ])('%s is not sent', async (_, http, code) => {
    const { phase: ended, requests } = await runOnly(http);
    expect(ended).toMatchObject({ status: 'failed', attempts: 1, error: { code } });
    expect(ended.error?.message).not.toContain('hush');
    expect(requests).toEqual([]);
  });

  it('fails like a handler when its definition throws', async () => {
    const body = () => {
      throw new TypeError('no body today');
    };
    expect((await runOnly({ body })).phase).toMatchObject({ status: 'failed', attempts: 3, error: { code: 'TypeError' } });
  });
});

describe('an answer at once', () => {
  it.each<[string, ReturnType<typeof answerWith>, unknown]>([
    ['JSON', answerWith(200, { rows: [1, 2] }), { rows: [1, 2] }],
    ['nothing', answerWith(204), null],
    ['text', answerWith(200, 'done'), 'done'],
    ['as much as can be kept', answerWith(200, 'x'.repeat(LIMITS.outputBytesMax - 2)), 'x'.repeat(LIMITS.outputBytesMax - 2)],
  ])('of %s is the output', async (_, answer, output) => {
    service.answers(answer);
    const { flow, phase: ended, requests } = await runOnly();
    expect([flow.status, ended.attempts, requests.length]).toEqual(['completed', 1, 1]);
    expect(ended.output).toEqual(output);
  });

  it('is handed to the phases that need it', async () => {
    const run = (ctx: PhaseContext) => ctx.outputs;
    const flowId = await test.start(test.define({ call: phase(), use: { needs: ['call'], run } }));
    expect((await test.ended(flowId)).phases[1]?.output).toEqual({ call: { ok: true } });
  });

  it('that is too large is final, and no more of it is read than it may have', async () => {
    let sentBytes = 0;
    service.answers((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const chunk = Buffer.alloc(65_536, 'x');
      const pump = () => {
        while (!response.destroyed && sentBytes < 1024 ** 3) {
          sentBytes += chunk.length;
          if (!response.write(chunk)) return;
        }
      };
      response.on('drain', pump);
      pump();
    });
    expect((await runOnly()).phase).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'http-answer-too-large' } });
    expect(sentBytes).toBeLessThan(64 * 1024 ** 2);
  });
});

describe('a service that cannot answer now', () => {
  it('is asked again, as another message about the same thing', async () => {
    service.answers(answerWith(503, 'warming up'), answerWith(200, 'warm'));
    const { phase: ended, requests, flowId } = await runOnly();
    expect(ended).toMatchObject({ status: 'completed', output: 'warm', attempts: 2 });
    expect(requests.map(({ body }) => [body.attempt, body.idempotencyKey])).toEqual([
      [1, `${onlyPhase(flowId)}-1`],
      [2, `${onlyPhase(flowId)}-1`],
    ]);
    expect(requests.map(({ headers }) => headers['webhook-id'])).toEqual([`${onlyPhase(flowId)}-1-1`, `${onlyPhase(flowId)}-1-2`]);
    expect(new Set(requests.map(({ body }) => body.callback.token)).size).toBe(2);
    expect((await test.events(flowId)).find((event) => event.type === 'phase.retrying')?.data).toMatchObject({
      error: { code: 'http-503', message: 'the service answered 503: warming up' },
    });
  });

  it('is asked again when it said, not when the policy would', async () => {
    service.answers(answerWith(429, '', { 'retry-after': '1' }), answerWith(200, 'now'));
    const startedAt = performance.now();
    const { phase: ended } = await runOnly({}, { retry: { attempts: 2, backoff: { type: 'fixed', delay: '10m' } } });
    expect(ended).toMatchObject({ output: 'now', attempts: 2 });
    expect(performance.now() - startedAt).toBeGreaterThan(950);
  });

  it('is given up when its attempts are used up', async () => {
    service.answers(answerWith(500, { detail: 'broken' }, { 'retry-after': '0' }));
    const { flow, requests } = await runOnly();
    expect(flow).toMatchObject({ status: 'failed', error: { code: 'http-500', message: 'the service answered 500: {"detail":"broken"}' } });
    expect(requests).toHaveLength(3);
  });

  it.each<[string, string]>([
    ['nobody listens', 'http://127.0.0.1:1/'],
    ['the name is unknown', 'http://service.invalid/'],
  ])('because %s is tried again', async (_, url) => {
    const { phase: ended } = await runOnly({ url });
    expect(ended).toMatchObject({ status: 'failed', attempts: 3, error: { code: 'http-network' } });
    expect(ended.error?.message).toMatch(/^the service gave no answer: [A-Z_]+$/);
  });

  it('because it hangs up, before its answer or within it, is tried again', async () => {
    // Of its own, so that no connection is kept from before.
    const other = await startTestService();
    other.answers(
      (response) => response.destroy(),
      (response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"half":', () => response.destroy());
      },
      answerWith(200, 'third'),
    );
    const { phase: ended } = await runOnly({ url: other.url });
    await other.close();
    expect(ended).toMatchObject({ output: 'third', attempts: 3 });
  });

  it('because it sends its answer drop by drop is cut at the soft limit', async () => {
    const timers: NodeJS.Timeout[] = [];
    service.answers((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      timers.push(setInterval(() => response.write(' '), 20));
    });
    const { phase: ended } = await runOnly({}, { retry: { attempts: 1 }, timeout: { soft: 200, hard: '10s' } });
    for (const timer of timers) clearInterval(timer);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
  });
});

describe('a service that refuses', () => {
  it('is not asked again, and what it said is kept without what it was sent', async () => {
    service.answers((response, { body, headers }) => {
      answerWith(400, { detail: 'no such customer', token: body.callback.token, key: headers['authorization'] })(response, {} as never);
    });
    const { phase: ended, requests } = await runOnly({ headers: { authorization: 'Bearer of-the-service' } });
    expect(ended).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'http-400' } });
    expect(ended.error?.message).toBe('the service answered 400: {"detail":"no such customer","token":"[redacted]","key":"[redacted]"}');
    expect(requests).toHaveLength(1);
  });

  it('is not followed to another place', async () => {
    service.answers(answerWith(307, '', { location: service.url }));
    const { phase: ended, requests } = await runOnly();
    expect(ended).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'http-307' } });
    expect(requests).toHaveLength(1);
  });
});

describe('an http phase of a flow that is cancelled', () => {
  it('hangs up', async () => {
    const hungUp = Promise.withResolvers<void>();
    service.answers((response) => {
      response.on('close', () => {
        hungUp.resolve();
      });
    });
    const flowId = await test.start(test.define({ only: phase() }));
    await eventually(() => {
      expect(service.of(flowId)).toHaveLength(1);
    });
    await cancelFlow(test.database, { flowId, workspace: 'default', by: 'test' });
    engine.running.stopFlow(flowId, 'cancelled');
    await hungUp.promise;
    expect((await test.read(flowId)).flow.status).toBe('cancelled');
  });
});

describe('the lock of an http phase', () => {
  it('is held while the request is under way', async () => {
    let [inside, most] = [0, 0];
    service.answers((response) => {
      inside += 1;
      most = Math.max(most, inside);
      setTimeout(() => {
        inside -= 1;
        answerWith(200, 'x')(response, {} as never);
      }, 50);
    });
    const name = test.define({ only: phase({}, { lock: () => 'printer' }) });
    const flows = await Promise.all([1, 2, 3].map(() => test.start(name)));
    await Promise.all(flows.map((flowId) => test.ended(flowId)));
    expect(most).toBe(1);
  });
});
