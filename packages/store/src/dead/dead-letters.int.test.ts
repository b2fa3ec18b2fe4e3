// Dead phases as incidents: how they are grouped, listed, selected, purged and listed again.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { incidentIdOf } from '@millrace/shared';
import { failPhase } from '../flows/fail-phase.ts';
import { quarantinePhase } from '../flows/quarantine.ts';
import { retryFlow } from '../flows/retry-flow.ts';
import { createStoreFixture, WORKER, type MadeFlow, type StoreFixture } from '../test-support/store-fixture.ts';
import { incidentIds, listDeadPhases, listIncidents, type DeadFilter } from './dead-phases.ts';
import { countDead, nextDeadPhases, positionOf, sampleFlows, type DeadPosition } from './dead-selection.ts';
import { exportDead } from './export-dead.ts';
import { groupFailures } from './group-failures.ts';
import { purgeDead } from './purge-dead.ts';

let store: StoreFixture;
let workspace = 'default';
let workspaces = 0;

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

beforeEach(async () => {
  workspaces += 1;
  workspace = `dead_${workspaces}`;
  await store.sql('INSERT INTO millrace.workspaces (name) VALUES ($1)', [workspace]);
});

async function fail(phaseId: string, message: string, code = 'Error'): Promise<void> {
  const [phase] = await store.claim([phaseId]);
  const failure = {
    id: phaseId,
    fence: phase?.fence ?? 0,
    worker: WORKER,
    error: { code, message, stack: 'at secret.ts' },
    retryDelayMs: null,
  };
  expect((await failPhase(store.database, failure)).committed).toBe(true);
}

/** A flow of one phase that failed. */
async function dead(message: string, changes: { name?: string; code?: string; workspace?: string } = {}): Promise<MadeFlow> {
  const flow = await store.make([[]], { workspace, ...changes });
  await fail(flow.phaseId(0), message, changes.code);
  return flow;
}

const list = (filter: Partial<DeadFilter> = {}, limit = 50) => listIncidents(store.database.main, { workspace, ...filter }, { limit });
const all = async () => ({ workspace, incidents: await incidentIds(store.database.main, { workspace }), until: 'infinity' });

describe('incidents', () => {
  it('are dead phases of one flow name, phase and cause, the last to fail first', async () => {
    const first = await dead('no order 1 for "a"');
    await dead('out of memory');
    const last = await dead('no order 22 for "b"');
    const [incident, other, ...none] = await list();
    expect(none).toEqual([]);
    expect(incident).toMatchObject({
      flow: 'shape',
      phase: 'p0',
      count: 2,
      count_capped: false,
      error: { code: 'Error', message: 'no order 22 for "b"' },
    });
    expect(incident?.sample).toEqual([last.flowId, first.flowId]);
    expect(incident?.first_at).toEqual((await store.phase(first.phaseId(0))).finished_at);
    expect(incident?.last_at).toEqual((await store.phase(last.phaseId(0))).finished_at);
    expect(other).toMatchObject({ count: 1, error: { message: 'out of memory' } });
    expect(JSON.stringify([incident, other])).not.toContain('secret.ts');
  });

  it('have the id that stands for what they are', async () => {
    await dead('no order 1');
    expect((await list()).map(({ id }) => id)).toEqual([
      incidentIdOf({ workspace, flow: 'shape', phase: 'p0', error: { code: 'Error', message: 'no order 99' } }),
    ]);
  });

  it('keep apart what has another flow, phase, code or workspace', async () => {
    await dead('no');
    await dead('no', { name: 'other' });
    await dead('no', { code: 'TypeError' });
    const flow = await store.make([[], []], { workspace });
    await fail(flow.phaseId(1), 'no');
    await dead('no', { workspace: 'somebody_else' });
    expect((await list()).map((one) => [one.flow, one.phase, one.error?.code, one.count])).toEqual([
      ['shape', 'p1', 'Error', 1],
      ['shape', 'p0', 'TypeError', 1],
      ['other', 'p0', 'Error', 1],
      ['shape', 'p0', 'Error', 1],
    ]);
  });

  it('hold quarantined phases too', async () => {
    const { phaseId } = await store.make([[]], { workspace });
    const [phase] = await store.claim([phaseId(0)], { leaseMs: -1_000 });
    await quarantinePhase(store.database, { id: phaseId(0), fence: phase?.fence ?? 0, crashes: 2, seen: null });
    expect(await list()).toMatchObject([{ count: 1, error: { code: 'crashed' } }]);
    expect(await listDeadPhases(store.database.main, { workspace, id: (await list())[0]?.id ?? '' }, { limit: 5 })).toMatchObject([
      { status: 'quarantined', flow_status: 'failed' },
    ]);
  });

  it('are filtered and paged', async () => {
    for (const code of ['A', 'B', 'C']) await dead('no', { code });
    await dead('no', { name: 'other', code: 'A' });
    expect((await list({ flow: 'other' })).map((one) => one.flow)).toEqual(['other']);
    expect(await list({ code: 'A' })).toHaveLength(2);
    expect(await list({ phase: 'p7' })).toEqual([]);
    const [newest] = await list();
    expect(await list({ failedAfter: newest?.last_at.toISOString() ?? '', failedBefore: '2120-01-01T00:00:00Z' })).toHaveLength(1);
    expect(await list({ failedBefore: '2020-01-01T00:00:00Z' })).toEqual([]);
    const seen: string[] = [];
    for (let after: { lastText: string; id: string } | undefined; seen.length < 4;) {
      const [one] = await listIncidents(store.database.main, { workspace }, { limit: 1, ...(after === undefined ? {} : { after }) });
      if (one === undefined) break;
      seen.push(one.id);
      after = { lastText: one.last_text, id: one.id };
    }
    expect(seen).toEqual((await list()).map(({ id }) => id));
  });

  it('are gone when their flows run again, and back when they fail again', async () => {
    const flow = await dead('no order 1');
    await retryFlow(store.database, { flowId: flow.flowId, workspace });
    expect(await list()).toEqual([]);
    await fail(flow.phaseId(0), 'no order 2');
    expect(await list()).toMatchObject([{ count: 1 }]);
  });

  it('take in what failed without one', async () => {
    const flows = [await dead('no order 1'), await dead('no order 2'), await dead('another')];
    await store.sql('UPDATE millrace.phases SET cause = NULL WHERE workspace = $1', [workspace]);
    expect(await list()).toEqual([]);
    expect(await groupFailures(store.database, 2)).toBe(2);
    expect(await groupFailures(store.database, 500)).toBe(1);
    expect(await groupFailures(store.database, 500)).toBe(0);
    expect((await list()).map((one) => one.count)).toEqual([1, 2]);
    expect(flows).toHaveLength(3);
  });
});

describe('a selection of dead phases', () => {
  it('is worked off page by page, each phase once, while it shrinks', async () => {
    const flows = [];
    for (let n = 0; n < 7; n += 1) flows.push(await dead(n % 2 === 0 ? 'even' : 'odd'));
    const selection = await all();
    const seen: string[] = [];
    for (let after: DeadPosition | null = null; ;) {
      const page = await nextDeadPhases(store.database.main, selection, { after, limit: 2 });
      const last = page.at(-1);
      if (last === undefined) break;
      seen.push(...page.map((phase) => phase.flow_id));
      for (const phase of page) await retryFlow(store.database, { flowId: phase.flow_id, workspace });
      after = positionOf(last);
    }
    expect(seen.toSorted()).toEqual(flows.map((flow) => flow.flowId).toSorted());
  });

  it('leaves out what failed after its moment', async () => {
    await dead('no');
    const [{ now } = { now: '' }] = await store.sql<{ now: string }>('SELECT clock_timestamp()::text AS now');
    await dead('no');
    expect(await nextDeadPhases(store.database.main, { ...(await all()), until: now }, { after: null, limit: 10 })).toHaveLength(1);
  });

  it('is counted in phases and in flows, up to a limit', async () => {
    const flow = await store.make([[], [], []], { workspace });
    for (const ordinal of [0, 1, 2]) await fail(flow.phaseId(ordinal), `no ${ordinal}`);
    await dead('no 7');
    const selection = await all();
    expect(await countDead(store.database.main, selection, { of: 'phases', max: 100 })).toEqual({ count: 4, capped: false });
    expect(await countDead(store.database.main, selection, { of: 'flows', max: 100 })).toEqual({ count: 2, capped: false });
    expect(await countDead(store.database.main, selection, { of: 'phases', max: 3 })).toEqual({ count: 3, capped: true });
    expect((await sampleFlows(store.database.main, selection, 5)).toSorted()).toHaveLength(2);
    expect(await sampleFlows(store.database.main, { ...selection, workspace: 'somebody_else' }, 5)).toEqual([]);
  });

  it('is read by the index, however large an incident is', async () => {
    const flow = await dead('no');
    await store.sql(
      `INSERT INTO millrace.phases (id, flow_id, workspace, name, status, priority, needs, dependants, needs_open, attempt_max, cause, finished_at, error)
       SELECT gen_random_uuid(), $1, $2, 'p0', 'failed', 50, '{}', '{}', 0, 4, 'big', now() + n * interval '1 s', '{"code":"E","message":"no"}' FROM generate_series(1, 20000) n`,
      [flow.flowId, workspace],
    );
    await store.sql('ANALYZE millrace.phases');
    const plan = await store.sql<{ 'QUERY PLAN': string }>(
      `EXPLAIN (ANALYZE, BUFFERS) SELECT p.id FROM millrace.phases p WHERE p.workspace = '${workspace}' AND p.status IN ('failed', 'quarantined') AND p.purged_at IS NULL
       AND p.finished_at > '-infinity' AND p.finished_at < 'infinity' AND p.cause = 'big' AND (p.finished_at, p.id) > (now() + interval '5000 s', '00000000-0000-0000-0000-000000000000') ORDER BY p.finished_at, p.id LIMIT 25`,
    );
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    expect(text).toContain('phases_dead');
    expect(text).not.toContain('Sort Method');
    const startedAt = performance.now();
    expect((await list()).find((one) => one.id === 'big')).toMatchObject({ count: 10_000, count_capped: true });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('purged phases', () => {
  it('leave the list, their flows stay as they are, and who did it is kept', async () => {
    const [flow, other] = [await dead('no'), await dead('no')];
    const before = await store.flow(flow.flowId);
    const phases = [{ id: flow.phaseId(0), flow_id: flow.flowId }];
    expect(await store.database.transaction((client) => purgeDead(client, { phases, by: 'key-1' }))).toBe(1);
    expect(await store.database.transaction((client) => purgeDead(client, { phases, by: 'key-2' }))).toBe(0);
    expect(await list()).toMatchObject([{ count: 1, sample: [other.flowId] }]);
    expect(await store.flow(flow.flowId)).toEqual(before);
    expect(
      await store.sql('SELECT status, purged_by, purged_at IS NOT NULL AS at FROM millrace.phases WHERE id = $1', [flow.phaseId(0)]),
    ).toEqual([{ status: 'failed', purged_by: 'key-1', at: true }]);
  });

  it('are listed again when they fail again', async () => {
    const flow = await dead('no');
    await store.database.transaction((client) => purgeDead(client, { phases: [{ id: flow.phaseId(0), flow_id: flow.flowId }], by: 'me' }));
    await retryFlow(store.database, { flowId: flow.flowId, workspace });
    await fail(flow.phaseId(0), 'no');
    expect(await list()).toMatchObject([{ count: 1 }]);
  });
});

describe('an export', () => {
  it('has every dead phase with the input of its flow', async () => {
    const flows = [];
    for (let n = 0; n < 30; n += 1) flows.push(await dead(`no ${n}`));
    const rows = [];
    for await (const page of exportDead(store.database.main, await all())) rows.push(...page);
    expect(rows.map((row) => row.flow_id)).toEqual(flows.map((flow) => flow.flowId));
    expect(rows[0]).toMatchObject({
      flow: 'shape',
      phase: 'p0',
      status: 'failed',
      attempts: 1,
      error: { code: 'Error', message: 'no 0' },
      input: { n: 1 },
    });
    expect(JSON.stringify(rows)).not.toContain('secret.ts');
  });
});
