// Dead letters from REST to their end on real processes: 1,000 failures are one incident, half of it is mended, then all.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTestStack, eventually, readFlowBody, startFlows, type TestStack } from '@millrace/testing';
import { flowCounts } from '../support/ledger.ts';

const FLOWS = fileURLToPath(new URL('../support/flows', import.meta.url));
const COUNT = 1_000;

type Operation = {
  id: string;
  status: string;
  done: number;
  succeeded: number;
  message: string | null;
  canary: { recovered: number } | null;
  links: { self: string };
};
type Incident = { id: string; cause: string; flow: string; phase: string; count: number; sample: string[] };

let stack: TestStack;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'millrace-mending-'));
  stack = await createTestStack({ env: { MILLRACE_FLOWS: FLOWS } });
  await stack.startApi();
  await Promise.all([stack.startWorker(), stack.startWorker()]);
  await startFlows(
    stack.client,
    Array.from({ length: COUNT }, (_, n) => ({ flow: 'test.mending', input: { folder, n } })),
  );
  await eventually(
    async () => {
      expect(await flowCounts(stack)).toEqual({ failed: COUNT });
    },
    { withinMs: 60_000 },
  );
}, 120_000);

afterAll(async () => {
  await stack.close();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function incidents(): Promise<Incident[]> {
  return (await stack.client.get<{ items: Incident[] }>('/v1/dead')).body.items;
}

async function ended(operation: Operation): Promise<Operation> {
  return eventually(
    async () => {
      const { body } = await stack.client.get<Operation>(operation.links.self);
      expect(['completed', 'stopped', 'failed']).toContain(body.status);
      return body;
    },
    { withinMs: 60_000 },
  );
}

describe('1,000 dead phases', () => {
  it('are one incident', async () => {
    expect(await incidents()).toMatchObject([
      { cause: 'TypeError: order <*> of <*> cannot be loaded', flow: 'test.mending', phase: 'load', count: COUNT },
    ]);
  });

  it('of which half is still broken stop their replay after at most 20 runs', async () => {
    await writeFile(path.join(folder, 'odd'), '');
    const [incident] = await incidents();
    const answer = await stack.client.post<{ replayed: number; operation: Operation }>('/v1/dead/replay', { ids: [incident?.id] });
    expect([answer.status, answer.body.replayed]).toEqual([202, COUNT]);
    const operation = await ended(answer.body.operation);
    expect(operation).toMatchObject({ status: 'stopped', message: expect.stringContaining('the same failure came back') });
    expect(operation.succeeded).toBeLessThanOrEqual(20);
    const run = await stack.database.database.main.query('SELECT id FROM millrace.flows WHERE run > 1');
    expect(run.rowCount).toBe(operation.succeeded);
    const recovered = operation.canary?.recovered ?? -1;
    expect(await flowCounts(stack)).toEqual({ ...(recovered === 0 ? {} : { completed: recovered }), failed: COUNT - recovered });
    expect((await incidents())[0]?.count).toBe(COUNT - recovered);
  }, 90_000);

  it('all run when all is mended, and the incident is over', async () => {
    await writeFile(path.join(folder, 'all'), '');
    const [incident] = await incidents();
    const answer = await stack.client.post<{ operation: Operation }>('/v1/dead/replay', {
      filter: { flow: 'test.mending' },
      ratePerSecond: 1_000,
    });
    expect(await ended(answer.body.operation)).toMatchObject({ status: 'completed' });
    await eventually(
      async () => {
        expect(await flowCounts(stack)).toEqual({ completed: COUNT });
      },
      { withinMs: 60_000 },
    );
    expect(await incidents()).toEqual([]);
    expect((await stack.client.get(`/v1/dead/${incident?.id ?? ''}`)).status).toBe(404);
    const flow = await readFlowBody(stack.client, incident?.sample[0] ?? '');
    expect(flow.phases.map(({ name, status }) => [name, status])).toEqual([
      ['prepare', 'completed'],
      ['load', 'completed'],
    ]);
  }, 120_000);
});
