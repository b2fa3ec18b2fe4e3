// Flows from REST to their end on real processes: one API, two workers.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  allEvents,
  createTestStack,
  eventually,
  flowEnded,
  phaseRunning,
  readFlowBody,
  startFlow,
  type TestStack,
} from '@millrace/testing';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.startApi();
  await Promise.all([stack.startWorker(), stack.startWorker()]);
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

describe('a flow started over REST', () => {
  it('runs its phases in order and keeps a gap-free log of them', async () => {
    const id = await startFlow(stack.client, 'selftest.chain');
    const flow = await flowEnded(stack.client, id);
    expect(flow).toMatchObject({ status: 'completed', run: 1 });
    expect(flow.phases.map(({ name, status, attempts }) => [name, status, attempts])).toEqual([
      ['first', 'completed', 1],
      ['second', 'completed', 1],
      ['third', 'completed', 1],
    ]);
    const events = await allEvents(stack.client, id);
    expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.map((event) => [event.type, event.phase])).toEqual([
      ['flow.queued', undefined],
      ['phase.queued', 'first'],
      ['flow.started', undefined],
      ['phase.started', 'first'],
      ['phase.completed', 'first'],
      ['phase.queued', 'second'],
      ['phase.started', 'second'],
      ['phase.completed', 'second'],
      ['phase.queued', 'third'],
      ['phase.started', 'third'],
      ['phase.completed', 'third'],
      ['flow.completed', undefined],
    ]);
  });

  it('hands the results of all needed phases on', async () => {
    const flow = await flowEnded(stack.client, await startFlow(stack.client, 'selftest.diamond'));
    expect(flow.outputs).toEqual({ a: 'a', b: 'ab', c: 'ac', d: ['ab', 'ac'] });
  });

  it('runs a fan wider than what is dispatched at once', async () => {
    const flow = await flowEnded(stack.client, await startFlow(stack.client, 'selftest.fan', { width: 250 }));
    expect(flow.status).toBe('completed');
    expect(flow.phases.filter((phase) => phase.status === 'completed')).toHaveLength(250);
  });

  it('tries a failing phase again and counts its attempts', async () => {
    const id = await startFlow(stack.client, 'selftest.flaky', { failures: 3 });
    const flow = await flowEnded(stack.client, id);
    expect(flow.status).toBe('completed');
    expect(flow.phases[0]).toMatchObject({ attempts: 4, output: { attempt: 4 } });
    expect((await allEvents(stack.client, id)).filter((event) => event.type === 'phase.retrying')).toHaveLength(3);
  });

  it('fails when a phase has no attempts left, and says why', async () => {
    const flow = await flowEnded(stack.client, await startFlow(stack.client, 'selftest.fail'));
    expect(flow).toMatchObject({ status: 'failed', error: { phase: 'only', message: 'it fails as asked' } });
  });

  it('goes on after the last finished step when it is tried again', async () => {
    const flow = await flowEnded(stack.client, await startFlow(stack.client, 'selftest.steps', { steps: 4, failAt: 2 }));
    expect(flow.outputs['only']).toEqual({ ranInAttempt: [1, 1, 2, 2] });
  });

  it('opens a new run when a failed one is retried', async () => {
    const id = await startFlow(stack.client, 'selftest.fail');
    await flowEnded(stack.client, id);
    expect((await stack.client.post(`/v1/flows/${id}/retry`)).status).toBe(202);
    const again = await eventually(
      async () => {
        const flow = await readFlowBody(stack.client, id);
        expect(flow).toMatchObject({ run: 2, status: 'failed' });
        return flow;
      },
      { withinMs: 10_000 },
    );
    expect(again.phases[0]?.attempts).toBe(1);
    const types = (await allEvents(stack.client, id)).map((event) => event.type);
    expect(types.filter((type) => type === 'flow.failed')).toHaveLength(2);
  });
});

describe('cancel', () => {
  it('ends the flow at once and stops the running handler', async () => {
    const id = await startFlow(stack.client, 'selftest.sleep', { ms: 600_000 });
    await phaseRunning(stack.client, id);
    const answer = await stack.client.post<{ status: string }>(`/v1/flows/${id}/cancel`);
    expect([answer.status, answer.body.status]).toEqual([202, 'cancelled']);
    expect((await stack.client.post(`/v1/flows/${id}/cancel`)).status).toBe(409);
    const types = (await allEvents(stack.client, id)).map((event) => event.type);
    expect(types.at(-1)).toBe('flow.cancelled');
  });
});

describe('a stream of events', () => {
  it('replays, goes live and ends with the flow, progress included', async () => {
    const id = await startFlow(stack.client, 'selftest.sleep', { ms: 1_200 });
    const seen: { event: string | undefined; id: string | undefined; data: Record<string, unknown> }[] = [];
    for await (const message of stack.client.events(`/v1/flows/${id}/events?until=end`)) {
      seen.push({ event: message.event, id: message.id, data: JSON.parse(message.data) as Record<string, unknown> });
    }
    const durable = seen.filter((message) => message.event !== 'progress');
    expect(durable.map((message) => message.data['seq'])).toEqual(durable.map((_, index) => index + 1));
    expect(durable.at(-1)?.event).toBe('flow.completed');
    const progress = seen.filter((message) => message.event === 'progress');
    expect(progress.length).toBeGreaterThan(1);
    expect(progress.every((message) => message.id === undefined || message.id === durable[0]?.id || message.id !== '')).toBe(true);
    expect(Number(progress.at(-1)?.data['fraction'])).toBeGreaterThan(0);
  });
});

describe('one Idempotency-Key', () => {
  it('makes one flow out of 200 concurrent requests over two API instances', async () => {
    const port = stack.port + 1;
    await stack.startApi({ MILLRACE_PORT: String(port) });
    const urls = [stack.client.baseUrl, `http://127.0.0.1:${port}`];
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const response = await fetch(`${urls[index % 2] ?? ''}/v1/flows`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${stack.env['MILLRACE_ADMIN_KEY'] ?? ''}`,
            'content-type': 'application/json',
            'idempotency-key': 'two-hundred',
          },
          body: JSON.stringify({ flow: 'selftest.noop', input: {} }),
        });
        return { status: response.status, id: ((await response.json()) as { id?: string }).id };
      }),
    );
    const accepted = answers.filter((answer) => answer.status === 202);
    expect(new Set(accepted.map((answer) => answer.id)).size).toBe(1);
    expect(answers.filter((answer) => ![202, 409].includes(answer.status))).toEqual([]);
    const made = await stack.database.database.main.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM millrace.idempotency_keys WHERE key = 'two-hundred'",
    );
    expect(made.rows[0]?.count).toBe(1);
  }, 30_000);
});
