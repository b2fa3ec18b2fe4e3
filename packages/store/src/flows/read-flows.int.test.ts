// What clients read of one flow with its phases.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newGroupId } from '@millrace/shared';
import { createStoreFixture, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { failPhase } from './fail-phase.ts';
import { readFlow, readFlowHead } from './read-flow.ts';

let store: StoreFixture;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

describe('readFlow', () => {
  it('answers the flow and its phases in order, with dates and the names of what each needs', async () => {
    const { flowId, phaseId } = await store.make([[], [], [1, 0]], { tags: { a: 'b' } });
    await store.complete(await store.claim([phaseId(0)]), { x: 1 });
    const found = await readFlow(store.database.main, { flowId, workspace: 'default' });
    expect(found?.flow).toMatchObject({
      id: flowId,
      name: 'shape',
      status: 'running',
      input: { n: 1 },
      tags: { a: 'b' },
      created_at: expect.any(Date),
      started_at: expect.any(Date),
      finished_at: null,
    });
    expect(found?.phases.map((phase) => [phase.name, phase.status, phase.attempts, phase.needs, phase.output])).toEqual([
      ['p0', 'completed', 1, [], { x: 1 }],
      ['p1', 'queued', 0, [], null],
      ['p2', 'pending', 0, ['p0', 'p1'], null],
    ]);
    expect(found?.phases[0]?.finished_at).toBeInstanceOf(Date);
    expect(found?.flow).not.toHaveProperty('created_by');
  });

  it('does not show the stack of an error', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const [phase] = await store.claim([phaseId(0)]);
    await failPhase(store.database, {
      id: phaseId(0),
      fence: phase?.fence ?? 0,
      worker: WORKER,
      error: { code: 'E', message: 'no', stack: 'at secret.ts' },
      retryDelayMs: null,
    });
    const found = await readFlow(store.database.main, { flowId, workspace: 'default' });
    expect(found?.phases[0]?.error).toEqual({ code: 'E', message: 'no' });
    expect(JSON.stringify(found)).not.toContain('secret.ts');
  });

  it('finds nothing in another workspace, or where nothing is', async () => {
    const { flowId } = await store.make([[]]);
    expect(await readFlow(store.database.main, { flowId, workspace: 'other' })).toBeUndefined();
    expect(await readFlow(store.database.main, { flowId: newGroupId(), workspace: 'default' })).toBeUndefined();
    expect(await readFlowHead(store.database.main, { flowId, workspace: 'other' })).toBeUndefined();
    expect(await readFlowHead(store.database.main, { flowId, workspace: 'default' })).toEqual({ status: 'queued', seqLast: 2 });
  });
});
