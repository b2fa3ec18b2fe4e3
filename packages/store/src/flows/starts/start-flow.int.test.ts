// millrace.start_flow as an application uses it: in its own transaction, with a role that may do nothing else; and what planning makes of it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isUuid, memberId, timeOfId } from '@millrace/shared';
import { eventually } from '@millrace/testing';
import pg from 'pg';
import { createStoreFixture, newFlow, type StoreFixture } from '../../test-support/store-fixture.ts';
import { cancelFlow } from '../cancel-flow.ts';
import type { NewPhase } from '../create-flows.ts';
import { readFlow } from '../read-flow.ts';
import { retryFlow } from '../retry-flow.ts';
import { createDedupedFlows } from './create-deduped-flows.ts';
import { planFlows, type FlowPlanning, type PlanningPass } from './plan-flows.ts';

const ROLE = `shop_${process.pid}`;
const PASSWORD = 'only-for-this-test';
let store: StoreFixture;
let app: pg.Client;

beforeAll(async () => {
  store = await createStoreFixture();
  await store.sql(`CREATE ROLE ${ROLE} LOGIN PASSWORD '${PASSWORD}'`);
  await store.sql(`GRANT USAGE ON SCHEMA millrace TO ${ROLE}`);
  await store.sql(`GRANT EXECUTE ON FUNCTION millrace.start_flow TO ${ROLE}`);
  app = await connectAs(ROLE);
});
afterAll(async () => {
  await app.end();
  await store.sql(`DROP OWNED BY ${ROLE}`);
  await store.sql(`DROP ROLE ${ROLE}`);
  await store.close();
});

async function connectAs(role: string): Promise<pg.Client> {
  const url = new URL(store.url);
  url.username = role;
  url.password = PASSWORD;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  return client;
}

const call = async (args: string, on: pg.Client = app) =>
  (await on.query<{ id: string }>(`SELECT millrace.start_flow(${args}) AS id`)).rows[0]?.id ?? '';
const exists = async (id: string) => (await store.sql('SELECT FROM millrace.flows WHERE id = $1', [id])).length === 1;
const phases = (needs: readonly (readonly number[])[], change: Partial<NewPhase> = {}) =>
  newFlow(needs).phases.map((phase) => ({ ...phase, ...change }));
const planned = (change: Partial<Extract<FlowPlanning, { kind: 'planned' }>> = {}): FlowPlanning => ({
  kind: 'planned',
  version: 4,
  phases: phases([[], [0]]),
  timeoutMs: null,
  expiresAt: null,
  ...change,
});
const pass = (name: string, plan: PlanningPass['plan'] = () => planned(), limit = 50) =>
  planFlows(store.database, { names: [name], limit, plan });

describe('millrace.start_flow', () => {
  it('starts a flow that exists when the transaction of the application commits, and not before', async () => {
    await app.query('BEGIN');
    const id = await call(`'shop.order', '{"order": 7}'`);
    expect(await exists(id)).toBe(false);
    await app.query('COMMIT');
    expect(await readFlow(store.database.main, { flowId: id, workspace: 'default' })).toMatchObject({
      flow: { name: 'shop.order', version: 0, status: 'queued', input: { order: 7 }, priority: 50, tags: {} },
      phases: [],
    });
    expect(await store.story(id)).toEqual(['flow.queued']);
    expect(await store.sql('SELECT planned, created_by FROM millrace.flows WHERE id = $1', [id])).toEqual([
      { planned: false, created_by: `sql:${ROLE}` },
    ]);
  });

  it('starts nothing when the transaction is rolled back', async () => {
    await app.query('BEGIN');
    const id = await call(`'shop.order', '{}', dedupe_key => 'rolled-back'`);
    await app.query('ROLLBACK');
    expect(await exists(id)).toBe(false);
    expect(await store.sql("SELECT FROM millrace.dedupe_keys WHERE key = 'rolled-back'")).toEqual([]);
    expect(await store.sql('SELECT FROM millrace.events WHERE subject_id = $1', [id])).toEqual([]);
  });

  it('gives ids like any other flow has, in the order of the calls', async () => {
    const { rows } = await app.query<{ id: string }>(
      "SELECT millrace.start_flow('shop.many', to_jsonb(n)) AS id FROM generate_series(1, 2000) n",
    );
    const ids = rows.map((row) => row.id);
    expect(ids.every((id) => isUuid(id) && id.endsWith('0000') && id[14] === '7' && /[89ab]/.test(id[19] ?? ''))).toBe(true);
    expect(new Set(ids).size).toBe(2_000);
    expect(ids.toSorted().every((id, index) => id.slice(0, 18) === ids[index]?.slice(0, 18))).toBe(true);
    expect(Math.abs(timeOfId(ids[0] ?? '') - Date.now())).toBeLessThan(10_000);
  });

  it('lets a role with EXECUTE do that and nothing else', async () => {
    for (const text of [
      'SELECT * FROM millrace.flows',
      "INSERT INTO millrace.dedupe_keys VALUES ('default', 'a', 'b', gen_random_uuid())",
      'SELECT millrace.new_group_id()',
      'SELECT millrace.cancel_replaced(ARRAY[]::uuid[], ARRAY[]::uuid[], ARRAY[]::text[])',
    ])
      await expect(app.query(text)).rejects.toMatchObject({ code: '42501' });
    const stranger = `stranger_${process.pid}`;
    await store.sql(`CREATE ROLE ${stranger} LOGIN PASSWORD '${PASSWORD}'`);
    const client = await connectAs(stranger);
    await expect(call("'shop.order', '{}'", client)).rejects.toMatchObject({ code: '42501' });
    await client.end();
    await store.sql(`DROP ROLE ${stranger}`);
  });

  it('is not led astray by what the caller puts on its search path', async () => {
    const owner = new pg.Client({ connectionString: store.url });
    await owner.connect();
    await owner.query(`CREATE SCHEMA IF NOT EXISTS evil; GRANT USAGE, CREATE ON SCHEMA evil TO ${ROLE}`);
    await owner.end();
    await app.query(
      'CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION $e$led astray$e$; END $$',
    );
    await app.query('SET search_path = evil, pg_catalog');
    expect(await exists(await call("'shop.order', '{}'"))).toBe(true);
    await app.query('RESET search_path; DROP FUNCTION evil.clock_timestamp()');
  });

  it.each([
    ["NULL, '{}'", 'name'],
    ["'No Name', '{}'", 'name'],
    ["'shop.order', NULL", 'input'],
    [`'shop.order', to_jsonb(repeat('x', 1048576))`, 'input'],
    ["'shop.order', '{}', workspace => 'nowhere'", 'workspace'],
    ["'shop.order', '{}', tags => '[]'", 'tags'],
    [`'shop.order', '{}', tags => '{"a": 1}'`, 'tags'],
    [`'shop.order', '{}', tags => '{"a b": "1"}'`, 'tags'],
    ["'shop.order', '{}', tags => (SELECT jsonb_object_agg(n, 'x') FROM generate_series(1, 33) n)", 'tags'],
    ["'shop.order', '{}', priority => 0", 'priority'],
    ["'shop.order', '{}', priority => 101", 'priority'],
    ["'shop.order', '{}', run_at => 'infinity'", 'run_at'],
    ["'shop.order', '{}', concurrency_key => ''", 'concurrency_key'],
    ["'shop.order', '{}', concurrency_key => 'k', concurrency_limit => 0", 'concurrency_limit'],
    ["'shop.order', '{}', dedupe_key => repeat('x', 201)", 'dedupe_key'],
    ["'shop.order', '{}', dedupe_key => 'k', dedupe_mode => 'throttle'", 'dedupe_mode'],
    ["'shop.order', '{}', dedupe_key => 'k', dedupe_mode => 'window'", 'dedupe_window'],
    ["'shop.order', '{}', dedupe_key => 'k', dedupe_window => '1 minute'", 'dedupe_window'],
    ["'shop.order', '{}', dedupe_key => 'k', dedupe_mode => 'window', dedupe_window => '-1 minute'", 'dedupe_window'],
    ["'shop.order', '{}', dedupe_mode => 'window', dedupe_window => '1 minute'", 'dedupe_mode'],
  ])('refuses start_flow(%s), naming %s', async (args, name) => {
    await expect(call(args)).rejects.toMatchObject({ code: '22023', message: expect.stringContaining(`millrace.start_flow: ${name}`) });
  });

  it('takes null for what was left out', async () => {
    const id = await call("'shop.order', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL");
    expect(await store.flow(id)).toMatchObject({ workspace: 'default', priority: 50, tags: {}, concurrency_limit: 1, admitted: true });
  });

  it('makes one flow of a dedupe key, in every mode, for callers in SQL and over REST at the same time', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connectAs(ROLE)));
    const ids = await Promise.all([
      ...clients.map((client) => call("'shape', '{}', dedupe_key => 'both'", client)),
      ...Array.from({ length: 50 }, async () => {
        const dedupe = { key: 'both', mode: 'return' as const, windowMs: null, respondExisting: () => ({ status: 202, body: {} }) };
        const { started } = await createDedupedFlows(store.database, [{ ...newFlow([[]]), dedupe }]);
        return started[0] !== undefined && 'flowId' in started[0] ? started[0].flowId : '';
      }),
    ]);
    await Promise.all(clients.map((client) => client.end()));
    expect(new Set(ids).size).toBe(1);
    expect(await store.sql("SELECT FROM millrace.dedupe_keys WHERE key = 'both'")).toHaveLength(1);
  });

  it('refuses, returns, replaces and throttles', async () => {
    const start = (mode: string, more = '') => call(`'shop.modes', '{}', dedupe_key => 'm', dedupe_mode => '${mode}'${more}`);
    const first = await start('return');
    expect(await start('return')).toBe(first);
    await expect(start('reject')).rejects.toMatchObject({ code: '23505', detail: first });
    const second = await start('replace');
    expect([second === first, (await store.flow(first)).status]).toEqual([false, 'cancelled']);
    expect((await store.events(first)).at(-1)).toMatchObject({
      type: 'flow.cancelled',
      data: { reason: 'replaced', replacedBy: second, by: `sql:${ROLE}` },
    });
    await store.sql("UPDATE millrace.flows SET status = 'running', started_at = now() WHERE id = $1", [second]);
    expect(await start('replace')).toBe(second);
    await store.sql("/* forged */ UPDATE millrace.flows SET status = 'completed' WHERE id = $1", [second]);
    expect(await start('window', ", dedupe_window => '1 hour'")).toBe(second);
    expect(await start('window', ", dedupe_window => '1 microsecond'")).not.toBe(second);
  });

  it('keeps a flow that has started, which it cannot replace, from nobody until the application commits', async () => {
    const { flowId, phaseId } = await store.make([[], []], { name: 'report' });
    await store.sql("INSERT INTO millrace.dedupe_keys (workspace, flow, key, flow_id) VALUES ('default', 'report', 'started', $1)", [
      flowId,
    ]);
    const phases = await store.claim([phaseId(0)]);
    await app.query('BEGIN');
    expect(await call("'report', '{}', dedupe_key => 'started', dedupe_mode => 'replace'")).toBe(flowId);
    await store.claim([phaseId(1)]);
    expect((await store.complete(phases)).committed).toEqual([true]);
    await app.query('COMMIT');
  });

  it('replaces a planned flow with all its phases', async () => {
    const dedupe = { key: 'planned', mode: 'replace' as const, windowMs: null, respondExisting: () => ({ status: 202, body: {} }) };
    const { started } = await createDedupedFlows(store.database, [{ ...newFlow([[], [0]]), dedupe }]);
    const old = started[0] !== undefined && 'flowId' in started[0] ? started[0].flowId : '';
    await call("'shape', '{}', dedupe_key => 'planned', dedupe_mode => 'replace'");
    expect(await store.phase(memberId(old, 0))).toMatchObject({ status: 'cancelled' });
    expect(await store.story(old)).toEqual(['flow.queued', 'phase.queued p0', 'flow.cancelled']);
  });
});

describe('planFlows', () => {
  it('makes of a flow what POST /v1/flows would have made', async () => {
    const id = await call(`'plan.one', '{"a": 1}', priority => 7, tags => '{"t": "x"}'`);
    const outcome = await pass('plan.one', (flow) => {
      expect(flow).toMatchObject({ id, name: 'plan.one', input: { a: 1 }, priority: 7 });
      return planned({ timeoutMs: 5_000, expiresAt: '2099-01-01T00:00:00.000Z' });
    });
    expect(outcome).toMatchObject({
      taken: 1,
      planned: 1,
      failed: 0,
      more: false,
      events: [{ seq: 2, type: 'phase.queued', phase: 'p0' }],
    });
    const { flowId } = await store.make([[], [0]], {
      priority: 7,
      tags: { t: 'x' },
      extras: { timeoutMs: 5_000, expiresAt: '2099-01-01T00:00:00.000Z' },
      dispatch: false,
    });
    const own = /^(id|name|version|input|created_by|created_at)$/;
    const comparable = async (one: string) =>
      Object.fromEntries(Object.entries(await store.flow(one)).filter(([column]) => !own.test(column)));
    expect(await comparable(id)).toEqual(await comparable(flowId));
    const strip = async (one: string, n: number) => {
      const {
        id: phaseId,
        flow_id: _flow,
        needs,
        dependants,
        rank,
        ...rest
      } = (await store.phase(memberId(one, n))) as unknown as Record<string, string & string[]>;
      return {
        ...rest,
        tail: phaseId?.slice(-4),
        needs: needs?.map((other) => other.slice(-4)),
        dependants: dependants?.map((other) => other.slice(-4)),
        late: Number(rank) - timeOfId(one),
      };
    };
    for (const n of [0, 1]) expect(await strip(id, n)).toEqual(await strip(flowId, n));
    expect(await store.story(id)).toEqual(await store.story(flowId));
  });

  it('holds what has a concurrency key or a rate, and rings for both', async () => {
    await store.sql('DELETE FROM millrace.admissions');
    const keyed = await call("'plan.held', '{}', concurrency_key => 'k', concurrency_limit => 2");
    const plain = await call("'plan.held', '{}'");
    await pass('plan.held', () => planned({ phases: phases([[]], { rateKey: 'api:x' }) }));
    const held = async (id: string) => ((await store.phase(memberId(id, 0))) as unknown as { held: string }).held;
    expect([await held(keyed), await held(plain)]).toEqual(['limit', 'rate']);
    expect(await store.flow(keyed)).toMatchObject({ admitted: false, concurrency_limit: 2 });
    expect(await store.sql('SELECT kind, key FROM millrace.admissions ORDER BY kind')).toEqual([
      { kind: 'limit', key: 'k' },
      { kind: 'rate', key: 'api:x' },
    ]);
  });

  it('keeps phases of a flow that is to run later until then, and lets one wait that begins with a signal', async () => {
    const later = await call("'plan.later', '{}', run_at => now() + interval '1 hour'");
    const waiting = await call("'plan.later', '{}'");
    await pass('plan.later', (flow) =>
      planned(flow.id === waiting ? { phases: phases([[]], { signal: 'go', waitTimeoutMs: 60_000 }) } : {}),
    );
    expect((await store.phase(memberId(later, 0))).due_at?.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
    expect(await store.flow(waiting)).toMatchObject({ status: 'waiting' });
    expect(await store.story(waiting)).toEqual(['flow.queued', 'phase.waiting p0']);
  });

  it('fails a flow that can never run, and plans it again when it is retried', async () => {
    const id = await call("'plan.bad', '{}'");
    const outcome = await pass('plan.bad', () => ({ kind: 'invalid', error: { code: 'validation', message: '/input/a: is required' } }));
    expect(outcome).toMatchObject({ failed: 1, events: [{ type: 'flow.failed' }] });
    expect(await store.flow(id)).toMatchObject({
      status: 'failed',
      error: { code: 'validation', message: '/input/a: is required' },
      finished_at: expect.any(Date),
    });
    await retryFlow(store.database, { flowId: id, workspace: 'default' });
    expect(await pass('plan.bad')).toMatchObject({ planned: 1 });
    expect(await store.story(id)).toEqual(['flow.queued', 'flow.failed', 'flow.queued', 'phase.queued p0']);
  });

  it('leaves flows that were cancelled, and those it does not know', async () => {
    const [cancelled, unknown] = [await call("'plan.gone', '{}'"), await call("'plan.unknown', '{}'")];
    expect(await cancelFlow(store.database, { flowId: cancelled, workspace: 'default', by: 'test' })).toMatchObject({ kind: 'done' });
    expect(await store.flow(cancelled)).toMatchObject({ status: 'cancelled' });
    expect(await pass('plan.gone')).toMatchObject({ taken: 0 });
    expect(await store.flow(unknown)).toMatchObject({ status: 'queued', version: 0 });
  });

  it('plans each flow once, by any number of processes, in passes that are bounded', async () => {
    await app.query("SELECT millrace.start_flow('plan.many', '{}') FROM generate_series(1, 300)");
    let count = 0;
    const work = async () => {
      await eventually(
        async () => {
          const outcome = await pass('plan.many', () => planned(), 20);
          count += outcome.planned;
          if (count < 300) throw new Error(`${count} of 300`);
        },
        { withinMs: 20_000 },
      );
    };
    await Promise.all([work(), work(), work()]);
    expect(count).toBe(300);
    expect(
      await store.sql("SELECT FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id WHERE f.name = 'plan.many'"),
    ).toHaveLength(600);
  }, 30_000);

  it('takes no more phases at a time than a statement can write', async () => {
    await app.query("SELECT millrace.start_flow('plan.wide', '{}') FROM generate_series(1, 3)");
    const wide = () => planned({ phases: phases(Array.from({ length: 9_000 }, () => [])) });
    expect(await pass('plan.wide', wide)).toMatchObject({ planned: 2, more: true });
    expect(await pass('plan.wide', wide)).toMatchObject({ planned: 1, more: false });
  }, 30_000);
});
