// Starts fires that waited for the flows before them, and names the flows that have to be cancelled for them. Level-triggered: what waits is
// in the table, so it survives every restart, and looking twice changes nothing.
import { isTransient, type Database, type Queryable } from '../database.ts';
import type { Choice, FirePass } from './fire-due.ts';
import { rememberLast, reportOf, type NewFire } from './record-fires.ts';
import { createScheduled, creationFault, scheduledFlow, UNKNOWN_FLOW_GRACE, type FireOptions } from './scheduled-flow.ts';
import { IS_OPEN_FLOW, SCHEDULE_COLUMNS, type StoredSchedule } from './stored-schedule.ts';

const FIRES_MAX = 100;

// Those of cancel-previous wait only for flows from before them: one that somebody starts meanwhile is theirs to keep.
const NOTHING_BEFORE = `NOT EXISTS (SELECT FROM millrace.flows f WHERE f.schedule_id = s.id AND ${IS_OPEN_FLOW}
  AND (s.overlap <> 'cancel-previous' OR f.created_at <= q.recorded_at))`;

export type FlowToCancel = { flowId: string; workspace: string; scheduleId: string };

/** Open flows that a fire under `cancel-previous` is to replace. */
export async function flowsToReplace(on: Queryable, limit: number): Promise<FlowToCancel[]> {
  const result = await on.query<FlowToCancel>({
    name: 'flows-to-replace',
    text: `
SELECT f.id AS "flowId", f.workspace, s.id AS "scheduleId" FROM millrace.schedule_fires q
JOIN millrace.schedules s ON s.id = q.schedule_id AND s.overlap = 'cancel-previous'
JOIN millrace.flows f ON f.schedule_id = s.id AND ${IS_OPEN_FLOW} AND f.created_at <= q.recorded_at
WHERE q.outcome = 'queued' ORDER BY f.id LIMIT $1`,
    values: [limit],
  });
  return result.rows;
}

/**
 * Starts up to 100 of the fires that wait for nothing any more. One whose flow cannot be created fails alone.
 * @throws AppError dependency-unavailable
 */
export async function startQueued(database: Pick<Database, 'transaction' | 'main'>, options: FireOptions): Promise<FirePass> {
  try {
    return await database.transaction((client) => queuedPass(client, options, { limit: FIRES_MAX, only: null }));
  } catch (error) {
    if (isTransient(error)) throw error;
    return startAlone(database, options);
  }
}

async function startAlone(database: Pick<Database, 'transaction' | 'main'>, options: FireOptions): Promise<FirePass> {
  const [only = null] = await findFree(database.main, options.knownFlows, { limit: 1, only: null });
  if (only === null) return { fires: [], more: false };
  const choice = { limit: 1, only };
  try {
    return { ...(await database.transaction((client) => queuedPass(client, options, choice))), more: true };
  } catch (error) {
    if (isTransient(error)) throw error;
    const failing: FireOptions = { ...options, plan: () => ({ kind: 'failed', reason: creationFault(error) }) };
    return { ...(await database.transaction((client) => queuedPass(client, failing, choice))), more: true };
  }
}

async function queuedPass(client: Queryable, options: FireOptions, choice: Choice): Promise<FirePass> {
  const locked = await findFree(client, options.knownFlows, { ...choice, lock: true });
  if (locked.length === 0) return { fires: [], more: false };
  const fires = await start(client, await readFree(client, locked), options);
  return { fires, more: locked.length === choice.limit };
}

type QueuedFire = StoredSchedule & { fire_id: string; fire_due_at: Date; now: Date };

async function findFree(
  on: Queryable,
  knownFlows: readonly string[],
  { limit, only, lock }: Choice & { lock?: boolean },
): Promise<string[]> {
  const result = await on.query<{ id: string }>({
    name: lock === true ? 'lock-free-schedules' : 'find-free-schedules',
    text: `
SELECT s.id FROM millrace.schedules s JOIN millrace.schedule_fires q ON q.schedule_id = s.id AND q.outcome = 'queued'
WHERE (s.flow = ANY($1::text[]) OR q.recorded_at <= now() - ${UNKNOWN_FLOW_GRACE}) AND ($3::uuid IS NULL OR s.id = $3) AND ${NOTHING_BEFORE}
ORDER BY q.due_at LIMIT $2 ${lock === true ? 'FOR UPDATE OF s SKIP LOCKED' : ''}`,
    values: [knownFlows, limit, only],
  });
  return result.rows.map(({ id }) => id);
}

// Again under the locks: another process may have started one of these just before.
async function readFree(client: Queryable, ids: readonly string[]): Promise<QueuedFire[]> {
  const result = await client.query<QueuedFire>({
    name: 'read-queued-fires',
    text: `
SELECT ${SCHEDULE_COLUMNS}, q.id AS fire_id, q.due_at AS fire_due_at, now() AS now
FROM millrace.schedules s JOIN millrace.schedule_fires q ON q.schedule_id = s.id AND q.outcome = 'queued'
WHERE s.id = ANY($1::uuid[]) AND ${NOTHING_BEFORE} ORDER BY q.due_at`,
    values: [ids],
  });
  return result.rows;
}

async function start(client: Queryable, queued: readonly QueuedFire[], options: FireOptions) {
  const plans = queued.map((one) => options.plan(one));
  const flows = queued.flatMap((one, index) => {
    const plan = plans[index];
    return plan?.kind === 'planned' ? [scheduledFlow(one, plan, one.now)] : [];
  });
  const ids = (await createScheduled(client, flows)).values();
  const fires = queued.map((schedule, index): NewFire => {
    const plan = plans[index];
    const common = { schedule, dueAt: schedule.fire_due_at, count: 1 };
    if (plan?.kind === 'planned') return { ...common, outcome: 'started', flowId: ids.next().value ?? null, reason: null };
    return { ...common, outcome: 'failed', flowId: null, reason: plan?.reason ?? null };
  });
  await client.query({
    name: 'end-queued-fires',
    text: `
UPDATE millrace.schedule_fires q SET outcome = e.outcome, flow_id = e.flow_id, reason = e.reason, fired_at = CASE WHEN e.outcome = 'started' THEN now() END
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) AS e (id, outcome, flow_id, reason) WHERE q.id = e.id`,
    values: [
      queued.map((one) => one.fire_id),
      fires.map(({ outcome }) => outcome),
      fires.map(({ flowId }) => flowId),
      fires.map(({ reason }) => reason),
    ],
  });
  await rememberLast(client, fires);
  return fires.map(reportOf);
}
