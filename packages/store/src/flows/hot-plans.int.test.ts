// The statements of the hot path must find their rows by index whatever the tables' sizes: their plans are read from the server's own log
// of them, on tables of 100,000 rows, for statements that were prepared while the tables were empty.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, type Database } from '../database.ts';
import { createStoreFixture, newFlow, WORKER, type StoreFixture } from '../test-support/store-fixture.ts';
import { backlogLanes, dispatchAgain, expiredLeases, postponeCheck, releaseHeld, takeBacklog, unclaimed } from './backlog.ts';
import { claimPhases } from './claim-phases.ts';
import { completePhases } from './complete-phases.ts';
import { createFlows } from './create-flows.ts';
import { forgiveLosses } from './forgive-losses.ts';
import { renewLeases } from './lease-phases.ts';
import { releasePhases } from './release-phases.ts';
import { undeliveredSignals } from './signals.ts';
import { saveSteps } from './steps.ts';

const FLOWS = 100_000;
let store: StoreFixture;
/** One connection, so that what is prepared on it stays prepared, which hands every plan over as a notice. */
let probe: Database;
let plans: string[] = [];

/** Runs every hot statement once, on flows of its own. */
async function runAll(): Promise<void> {
  const made = await createFlows(probe.hot, [newFlow([[], [], [0, 1]]), newFlow([[], []])]);
  const jobs = made.flatMap((one) => (one.kind === 'created' ? one.dispatches : []));
  const { results } = await claimPhases(probe.hot, [...jobs, { id: jobs[0]?.id ?? '', generation: 99 }], {
    worker: WORKER,
    leaseMs: 10_000,
  });
  const phases = results.flatMap((result) => (result.kind === 'claimed' ? [result.phase] : []));
  await renewLeases(probe.hot, phases, { worker: WORKER, leaseMs: 10_000 });
  const [first, second, third] = phases;
  if (first === undefined || second === undefined || third === undefined) throw new Error('not claimed');
  await saveSteps(
    probe.hot,
    phases.map(({ id, run, fence }) => ({ phaseId: id, run, fence, name: 'one', resultJson: '1' })),
  );
  await completePhases(
    probe.hot,
    [first, second].map(({ id, fence }) => ({ id, fence, worker: WORKER, outputJson: '1' })),
    { dispatch: true },
  );
  await releasePhases(probe.hot, [{ id: third.id, fence: third.fence, outcome: 'interrupted', reason: 'test', delayMs: 0 }]);
  await dispatchAgain(probe.hot, [{ id: third.id, generation: 2 }]);
  await postponeCheck(probe.hot, [{ id: third.id, generation: 3 }]);
  await backlogLanes(probe.hot, { after: '', limit: 10 });
  await takeBacklog(probe.hot, [{ workspace: 'default', count: 10 }]);
  await releaseHeld(probe.hot, 10);
  await expiredLeases(probe.hot, 10);
  await unclaimed(probe.hot, 10);
  await undeliveredSignals(probe.hot, 10);
  await forgiveLosses(probe.hot, WORKER);
}

beforeAll(async () => {
  store = await createStoreFixture();
  probe = createDatabase({ url: store.url, name: 'probe', poolMax: { hot: 1 }, onError: () => undefined });
  probe.hot.on('connect', (client) => {
    client.on('notice', (notice) => {
      plans.push(notice.message ?? '');
    });
  });
  await runAll();
  await store.sql(`
    INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, seq_last, phases_total, phases_open, phases_active, created_by)
    SELECT (left(millrace.new_group_id()::text, 18) || right(overlay(gen_random_uuid()::text placing '0000' from 33), 18))::uuid, 'default', 'bulk', 1, CASE WHEN n % 10 = 0 THEN 'queued' ELSE 'completed' END, '{}', '{}', 50, 1, 1, 1, 1, 'test' FROM generate_series(1, ${FLOWS}) n`);
  await store.sql(`
    INSERT INTO millrace.phases (id, flow_id, workspace, name, status, priority, needs, dependants, needs_open, attempt_max)
    SELECT overlay(id::text placing '0001' from 33)::uuid, id, workspace, 'p0', status, 50, '{}', '{}', 0, 4 FROM millrace.flows WHERE name = 'bulk'`);
  await store.sql(
    "INSERT INTO millrace.events (subject_id, seq, workspace, type, at, data) SELECT id, 1, workspace, 'flow.queued', now(), '{}' FROM millrace.flows WHERE name = 'bulk'",
  );
}, 60_000);

afterAll(async () => {
  await probe.close();
  await store.close();
});

async function filledTables(): Promise<string[]> {
  const found = await store.sql<{ name: string }>(
    "SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'millrace'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0",
  );
  return found.map((row) => row.name);
}

/** What the plans read from the three big tables, as `Scan type on table`. */
function scans(): string[] {
  const nodes =
    plans
      .join('\n')
      .match(/\w[\w ]* Scan(?: using \w+)? on (?:flows|phases|event_log|idempotency_keys)(?:_until)?(?:_\d{4}_\d{2}|_default)?\b/g) ?? [];
  return [...new Set(nodes)];
}

/** An index of a partition is named after its month, and after the index that it is part of or that one's columns. */
const withoutMonth = (index: string) => index.replace(/(?:_until)?_\d{4}_\d{2}|_default/, '');

describe.each(['before the tables were analysed', 'after'])('hot statements on 100,000 flows, %s', (when) => {
  beforeAll(async () => {
    // What autovacuum analyses: tables with rows. Months to come have none.
    if (when === 'after') for (const table of await filledTables()) await store.sql(`ANALYZE ${table}`);
    await probe.hot.query("LOAD 'auto_explain'");
    await probe.hot.query(
      "SELECT set_config('auto_explain.log_min_duration', '0', false), set_config('auto_explain.log_nested_statements', 'on', false), set_config('auto_explain.log_level', 'notice', false), set_config('client_min_messages', 'notice', false)",
    );
    plans = [];
    await runAll();
    await probe.hot.query("SELECT set_config('auto_explain.log_min_duration', '-1', false)");
  });

  it('show their plans', () => {
    expect(plans.filter((plan) => plan.includes('Query Text')).length).toBeGreaterThanOrEqual(12);
    expect(scans().length).toBeGreaterThan(3);
  });

  it('scan no big table from end to end', () => {
    expect(scans().filter((scan) => scan.startsWith('Seq') || scan.startsWith('Parallel Seq'))).toEqual([]);
  });

  it('read the primary key or the index made for them', () => {
    const used = [
      ...new Set((plans.join('\n').match(/(?:Scan using|Bitmap Index Scan on) (\w+)/g) ?? []).map((text) => text.split(' ').at(-1))),
    ];
    expect(
      used.filter(
        (index) =>
          ![
            'flows_pkey',
            'phases_pkey',
            'phases_due_at_idx',
            'phases_due',
            'phases_workspace_rank_id_idx',
            'phases_backlog',
            'phases_signal_at_idx',
            'idempotency_keys_pkey',
            'event_log_pkey',
            'queue_pauses_pkey',
            'attempts_pkey',
            'attempts_worker_idx',
            'workers_pkey',
            'workers_seen',
            'workspaces_pkey',
            'admissions_pkey',
            'steps_pkey',
          ].includes(withoutMonth(index ?? '')),
      ),
    ).toEqual([]);
  });
});
