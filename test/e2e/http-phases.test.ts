// Phases that services outside do, with the API and the workers as real processes, and workers that die in between.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  allEvents,
  createRestClient,
  createTestStack,
  eventually,
  flowEnded,
  freePort,
  readFlowBody,
  startFlow,
  type TestProcess,
  type TestStack,
} from '@millrace/testing';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const FLOWS = fileURLToPath(new URL('../support/flows', import.meta.url));
const GUIDE = fileURLToPath(new URL('../../docs/http-phases.md', import.meta.url));
const hasPython = spawnSync('python3', ['--version']).status === 0;

type Asked = { id: string; flowId: string; attempt: number; callback: { url: string; token: string } };
type Service = { url: string; asked: Asked[]; close(): Promise<void> };

let stack: TestStack;
let worker: TestProcess;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  stack = await createTestStack({ env: { MILLRACE_FLOWS: FLOWS, MILLRACE_HTTP_SECRET: SECRET } });
  await stack.startApi();
  worker = await stack.startWorker();
}, 60_000);
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});
afterAll(async () => {
  await stack.close();
}, 60_000);

/** A service that answers with 202, or not at all, and keeps what it was asked. */
async function startService(answers: (asked: Asked, count: number) => boolean = () => true): Promise<Service> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Asked;
      const one = { ...body, id: String(request.headers['webhook-id']) };
      asked.push(one);
      if (answers(one, asked.length)) response.writeHead(202).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const service: Service = {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  closing.push(service.close);
  return service;
}

const start = (url: string, patience = '10m') => startFlow(stack.client, 'test.service', { url, patience });
const askedFor = (service: Service, count: number) =>
  eventually(
    () => {
      expect(service.asked).toHaveLength(count);
      return service.asked.at(-1) as Asked;
    },
    { withinMs: 30_000 },
  );
const callBack = ({ callback }: Asked, body: unknown) =>
  createRestClient({ baseUrl: '', key: callback.token }).post<{ status?: string; code?: string }>(callback.url, body);

async function waits(id: string): Promise<void> {
  await eventually(async () => {
    expect((await readFlowBody(stack.client, id)).status).toBe('waiting');
  });
}

describe('a service that answers later', () => {
  it('calls back where it was told to, with nothing but its token', async () => {
    const service = await startService();
    const id = await start(service.url);
    const asked = await askedFor(service, 1);
    await waits(id);
    expect(asked.callback.url).toBe(`http://127.0.0.1:${stack.port}/v1/callbacks`);
    expect(await callBack(asked, { output: { score: 1 } })).toMatchObject({ status: 200, body: { status: 'completed' } });
    expect((await flowEnded(stack.client, id)).outputs).toEqual({ score: { score: 1 }, use: { score: 1 } });
    expect(await callBack(asked, { output: 2 })).toMatchObject({ status: 409, body: { code: 'invalid-state' } });
    const events = await allEvents(stack.client, id);
    expect(events.find((event) => event.type === 'phase.waiting')?.data).toEqual({ callback: true, until: expect.any(String) });
    expect(JSON.stringify([...worker.logs, events])).not.toContain('mrcb_');
  });

  it('may fail in a way that passes: it is asked again', async () => {
    const service = await startService();
    const id = await start(service.url);
    const first = await askedFor(service, 1);
    await waits(id);
    const error = { message: 'busy', retryable: true };
    expect(await callBack(first, { error })).toMatchObject({ status: 200, body: { status: 'retrying' } });
    const second = await askedFor(service, 2);
    expect([first.attempt, second.attempt]).toEqual([1, 2]);
    await eventually(async () => {
      expect((await callBack(second, { error })).body.status).toBe('failed');
    });
    expect(await flowEnded(stack.client, id)).toMatchObject({ status: 'failed', error: { code: 'callback-failed', phase: 'score' } });
  });

  it('is asked again when it does not call back in time, and then no more', async () => {
    const service = await startService();
    const id = await start(service.url, '200ms');
    expect(await flowEnded(stack.client, id)).toMatchObject({ status: 'failed', error: { code: 'callback-timeout', phase: 'score' } });
    expect(service.asked.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect((await callBack(service.asked[0] as Asked, { output: 1 })).status).toBe(409);
  });
});

describe('a worker that dies', () => {
  it('while a service works is not missed', async () => {
    const service = await startService();
    const id = await start(service.url);
    const asked = await askedFor(service, 1);
    await waits(id);
    worker.signal('SIGKILL');
    await worker.exited;
    expect((await callBack(asked, { output: 'done' })).status).toBe(200);
    worker = await stack.startWorker();
    expect((await flowEnded(stack.client, id)).outputs['use']).toBe('done');
    expect(service.asked).toHaveLength(1);
  }, 60_000);

  it('while it waits for the answer has the same message sent by another, and the first token stays good', async () => {
    const service = await startService((_, count) => count > 1);
    const id = await start(service.url);
    const first = await askedFor(service, 1);
    worker.signal('SIGKILL');
    await worker.exited;
    worker = await stack.startWorker();
    const second = await askedFor(service, 2);
    expect([second.id, second.attempt, second.callback]).toEqual([first.id, 1, first.callback]);
    expect((await callBack(first, { output: 'once' })).status).toBe(200);
    expect((await flowEnded(stack.client, id)).outputs['use']).toBe('once');
  }, 60_000);
});

// The guide's own example, on machines that have the language.
(hasPython ? describe : describe.skip)('the service of the guide', () => {
  it('checks who asks, works, and calls back', async () => {
    const port = await freePort();
    const source = /```python\n([\s\S]*?)```/.exec(readFileSync(GUIDE, 'utf8'))?.[1] ?? '';
    const python: ChildProcess = spawn('python3', ['-c', source], {
      env: { ...process.env, PORT: String(port), MILLRACE_HTTP_SECRET: SECRET },
      stdio: 'ignore',
    });
    closing.push(async () => {
      python.kill('SIGKILL');
      await once(python, 'exit');
    });
    const url = `http://127.0.0.1:${port}/score`;
    await eventually(
      async () => {
        expect((await fetch(url, { method: 'POST', body: '{}' })).status).toBe(401);
      },
      { withinMs: 10_000 },
    );
    const flow = await flowEnded(stack.client, await start(url));
    expect(flow).toMatchObject({ status: 'completed', outputs: { score: { customer: 'c-1', score: 0.7 } } });
  }, 30_000);
});
