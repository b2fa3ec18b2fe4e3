// Phases that wait for a signal: no worker is held, and what was sent becomes their output.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fileURLToPath } from 'node:url';
import { allEvents, createTestStack, eventually, flowEnded, readFlowBody, startFlow, type TestStack } from '@millrace/testing';

const FLOWS = fileURLToPath(new URL('../support/flows', import.meta.url));

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack({ env: { MILLRACE_FLOWS: FLOWS, MILLRACE_FLOW_CONCURRENCY: '1' } });
  await stack.startApi();
  await stack.startWorker();
}, 60_000);

afterAll(async () => {
  await stack.close();
}, 60_000);

async function waiting(id: string): Promise<void> {
  await eventually(async () => {
    expect((await readFlowBody(stack.client, id)).status).toBe('waiting');
  });
}

describe('a phase that waits for a signal', () => {
  it('leaves the worker free, and goes on with what was sent', async () => {
    const ids = await Promise.all([1, 2, 3].map(() => startFlow(stack.client, 'test.approval', { patience: '10m' })));
    await Promise.all(ids.map((id) => waiting(id)));
    // The only slot of the only worker is free.
    expect((await flowEnded(stack.client, await startFlow(stack.client, 'selftest.noop'))).status).toBe('completed');
    for (const id of ids) expect((await stack.client.post(`/v1/flows/${id}/signals/approved`, { by: 'me' })).status).toBe(202);
    const flows = await Promise.all(ids.map((id) => flowEnded(stack.client, id)));
    expect(flows.map((flow) => flow.outputs['publish'])).toEqual(ids.map(() => ['draft', { by: 'me' }]));
    const events = await allEvents(stack.client, ids[0] ?? '');
    expect(events.map((event) => event.type)).toEqual([
      'flow.queued',
      'phase.queued',
      'flow.started',
      'phase.started',
      'phase.completed',
      'phase.waiting',
      'phase.completed',
      'phase.queued',
      'phase.started',
      'phase.completed',
      'flow.completed',
    ]);
  });

  it('takes any JSON, once', async () => {
    const id = await startFlow(stack.client, 'selftest.wait');
    await waiting(id);
    expect((await stack.client.post(`/v1/flows/${id}/signals/go`, [1, null, 'x'])).status).toBe(202);
    const flow = await flowEnded(stack.client, id);
    expect(flow).toMatchObject({ status: 'completed', outputs: { only: [1, null, 'x'] } });
    expect((await stack.client.post(`/v1/flows/${id}/signals/go`, 2)).status).toBe(409);
  });

  it('keeps a signal that comes early', async () => {
    const blocked = await startFlow(stack.client, 'selftest.sleep', { ms: 1_000 });
    const id = await startFlow(stack.client, 'test.approval', { patience: '10m' });
    expect((await stack.client.post(`/v1/flows/${id}/signals/approved`, 'early')).status).toBe(202);
    expect((await stack.client.post(`/v1/flows/${id}/signals/approved`, 'twice')).status).toBe(409);
    expect((await flowEnded(stack.client, id)).outputs['publish']).toEqual(['draft', 'early']);
    await flowEnded(stack.client, blocked);
  });

  it('fails when its time is over, and what needs it is skipped', async () => {
    const id = await startFlow(stack.client, 'test.approval', { patience: '200ms' });
    const flow = await flowEnded(stack.client, id);
    expect(flow).toMatchObject({ status: 'failed', error: { code: 'timeout', phase: 'approve' } });
    expect(flow.phases.map((phase) => phase.status)).toEqual(['completed', 'failed', 'skipped']);
    expect((await stack.client.post(`/v1/flows/${id}/signals/approved`, 1)).status).toBe(409);
  });

  it('waits anew when the flow is retried', async () => {
    const id = await startFlow(stack.client, 'test.approval', { patience: '2s' });
    await flowEnded(stack.client, id);
    expect((await stack.client.post<{ status: string }>(`/v1/flows/${id}/retry`)).body.status).toBe('waiting');
    expect((await stack.client.post(`/v1/flows/${id}/signals/approved`, 'again')).status).toBe(202);
    expect(await flowEnded(stack.client, id)).toMatchObject({ status: 'completed', run: 2 });
  });

  it('is unknown by any other name, and to other flows', async () => {
    const id = await startFlow(stack.client, 'selftest.wait');
    expect((await stack.client.post(`/v1/flows/${id}/signals/stop`, 1)).status).toBe(404);
    expect((await stack.client.post(`/v1/flows/${await startFlow(stack.client, 'selftest.noop')}/signals/go`, 1)).status).toBe(404);
    expect((await stack.client.post(`/v1/flows/${id}/cancel`)).status).toBe(202);
    expect((await stack.client.post(`/v1/flows/${id}/signals/go`, 1)).status).toBe(409);
  });
});
