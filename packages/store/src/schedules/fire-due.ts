// Fires schedules whose time has come: decides about every such time, creates the flows, and moves the schedules on, in one transaction.
// Any number of processes may do so at once: each takes schedules that no other has locked, and what was dealt with is not due any more.
import { isTransient, type Database, type Queryable } from '../database.ts';
import { decideFires, LISTED_MAX, SUPERSEDED, sumMissed, type Decision } from './decide-fires.ts';
import { dueTimes, type DueTimes, type DueTimesLimits } from './due-times.ts';
import {
  insertFires,
  moveOn,
  readHandled,
  rememberLast,
  reportOf,
  type NewFire,
  type Progress,
  type ReportedFire,
} from './record-fires.ts';
import {
  createScheduled,
  creationFault,
  scheduledFlow,
  UNKNOWN_FLOW_GRACE,
  type FireOptions,
  type ScheduledPlan,
} from './scheduled-flow.ts';
import { IS_OPEN_FLOW, runAfter, SCHEDULE_COLUMNS, type StoredSchedule } from './stored-schedule.ts';

/** `more`: a limit cut the pass short. */
export type FirePass = { fires: ReportedFire[]; more: boolean };

const SCHEDULES_MAX = 100;
/** Times that one pass looks at, over all its schedules: about 60 ms of the event loop. What is left is left to the next pass. */
const TIMES_MAX = 2_000;
/** A schedule whose times might not fit into what is left of them waits for the next pass. */
const TIMES_MIN = 2 * LISTED_MAX;

/**
 * Deals with the times of up to 100 schedules that have come. A schedule whose flow cannot be created, whatever the reason, has that time
 * reported as failed, so that it keeps neither itself nor others from going on.
 * @throws AppError dependency-unavailable
 */
export async function fireDue(database: Pick<Database, 'transaction' | 'main'>, options: FireOptions): Promise<FirePass> {
  try {
    return await database.transaction((client) => firePass(client, options, { limit: SCHEDULES_MAX, only: null }));
  } catch (error) {
    if (isTransient(error)) throw error;
    return fireAlone(database, options);
  }
}

// Something about one schedule made a whole pass fail. Alone it fails alone.
async function fireAlone(database: Pick<Database, 'transaction' | 'main'>, options: FireOptions): Promise<FirePass> {
  const only = await oldestDue(database.main, options.knownFlows);
  if (only === null) return { fires: [], more: false };
  try {
    return { ...(await database.transaction((client) => firePass(client, options, { limit: 1, only }))), more: true };
  } catch (error) {
    if (isTransient(error)) throw error;
    return database.transaction((client) => giveUp(client, only, creationFault(error)));
  }
}

/** How many schedules, or which one alone. */
export type Choice = { limit: number; only: string | null };
type LockedSchedule = StoredSchedule & { now: Date };
type Settled = { schedule: LockedSchedule; plan: ScheduledPlan; due: DueTimes; decisions: Decision[]; supersedesQueued: boolean };

async function firePass(client: Queryable, options: FireOptions, choice: Choice): Promise<FirePass> {
  const locked = await lockDue(client, options.knownFlows, choice);
  if (locked.length === 0) return { fires: [], more: false };
  const settled = await settleAll(client, locked, options);
  const fires = await startFlows(client, settled);
  await supersede(
    client,
    settled.filter((one) => one.supersedesQueued).map(({ schedule }) => schedule.id),
  );
  await insertFires(client, fires);
  await moveOn(client, settled.map(progressOf));
  await rememberLast(client, fires);
  const more = locked.length === choice.limit || settled.length < locked.length || settled.some(({ due }) => due.isCut);
  return { fires: fires.map(reportOf), more };
}

const IS_DUE = `s.next_at <= now() AND (s.flow = ANY($1::text[]) OR s.next_at <= now() - ${UNKNOWN_FLOW_GRACE})`;

async function lockDue(client: Queryable, knownFlows: readonly string[], { limit, only }: Choice): Promise<LockedSchedule[]> {
  const result = await client.query<LockedSchedule>({
    name: 'lock-due-schedules',
    text: `
SELECT ${SCHEDULE_COLUMNS}, now() AS now FROM millrace.schedules s WHERE ${IS_DUE} AND ($3::uuid IS NULL OR s.id = $3)
ORDER BY s.next_at LIMIT $2 FOR UPDATE SKIP LOCKED`,
    values: [knownFlows, limit, only],
  });
  return result.rows;
}

async function oldestDue(on: Queryable, knownFlows: readonly string[]): Promise<string | null> {
  const result = await on.query<{ id: string }>({
    name: 'oldest-due-schedule',
    text: `SELECT s.id FROM millrace.schedules s WHERE ${IS_DUE} ORDER BY s.next_at LIMIT 1`,
    values: [knownFlows],
  });
  return result.rows[0]?.id ?? null;
}

async function settleAll(client: Queryable, locked: readonly LockedSchedule[], options: FireOptions): Promise<Settled[]> {
  const ids = locked.map(({ id }) => id);
  const overlaps = await readOverlaps(client, ids);
  const handled = await readHandled(client, ids);
  const settled: Settled[] = [];
  let timesLeft = TIMES_MAX;
  for (const schedule of locked) {
    if (timesLeft < TIMES_MIN) break;
    const limits = { handledAt: handled.get(schedule.id) ?? null, max: timesLeft };
    const one = settle(schedule, { overlap: overlaps.get(schedule.id), plan: options.plan(schedule), limits });
    timesLeft -= one.due.dueMs.length;
    settled.push(one);
  }
  return settled;
}

type Overlap = { openFlowId: string | null; hasQueued: boolean };

// A statement of its own, after the locks: another process may have fired one of these just before.
async function readOverlaps(client: Queryable, ids: readonly string[]): Promise<Map<string, Overlap>> {
  const result = await client.query<Overlap & { id: string }>({
    name: 'read-schedule-overlaps',
    text: `
SELECT a.id, (SELECT f.id FROM millrace.flows f WHERE f.schedule_id = a.id AND ${IS_OPEN_FLOW} LIMIT 1) AS "openFlowId",
  EXISTS (SELECT FROM millrace.schedule_fires q WHERE q.schedule_id = a.id AND q.outcome = 'queued') AS "hasQueued"
FROM unnest($1::uuid[]) AS a (id)`,
    values: [ids],
  });
  return new Map(result.rows.map((row) => [row.id, row]));
}

type Given = { overlap: Overlap | undefined; plan: ScheduledPlan; limits: DueTimesLimits };

function settle(schedule: LockedSchedule, { overlap, plan, limits }: Given): Settled {
  const due = dueTimes(schedule, schedule.now, limits);
  if (due.isCut) return { schedule, plan, ...keepNewest(due) };
  const { fires, supersedesQueued } = decideFires(due.dueMs, {
    overlap: schedule.overlap,
    catchUp: schedule.catch_up,
    nowMs: schedule.now.getTime(),
    openFlowId: overlap?.openFlowId ?? null,
    hasQueued: overlap?.hasQueued ?? false,
    fault: plan.kind === 'failed' ? plan.reason : null,
  });
  return { schedule, plan, due, decisions: fires, supersedesQueued };
}

// So many are late that no policy fires the older ones: they are counted, and the newest are left for a later pass.
function keepNewest({ dueMs, isCut }: DueTimes): Pick<Settled, 'due' | 'decisions' | 'supersedesQueued'> {
  const counted = dueMs.slice(0, -LISTED_MAX);
  const nextAt = new Date(dueMs[counted.length] ?? 0);
  return { due: { dueMs: counted, nextAt, isCut }, decisions: [sumMissed(counted)], supersedesQueued: false };
}

async function startFlows(client: Queryable, settled: readonly Settled[]): Promise<NewFire[]> {
  const flows = settled.flatMap(({ schedule, plan, decisions }) =>
    plan.kind === 'planned'
      ? decisions.filter(({ outcome }) => outcome === 'started').map(() => scheduledFlow(schedule, plan, schedule.now))
      : [],
  );
  const ids = (await createScheduled(client, flows)).values();
  return settled.flatMap(({ schedule, decisions }) =>
    decisions.map(({ dueAtMs, outcome, count, reason }) => {
      const flowId = outcome === 'started' ? (ids.next().value ?? null) : null;
      return { schedule, dueAt: new Date(dueAtMs), outcome, count, flowId, reason };
    }),
  );
}

// A schedule whose next time cannot be told any more stops here; that it did is on record.
async function giveUp(client: Queryable, id: string, reason: string): Promise<FirePass> {
  const result = await client.query<StoredSchedule>(
    `SELECT ${SCHEDULE_COLUMNS} FROM millrace.schedules s WHERE s.id = $1 AND s.next_at <= now() FOR UPDATE`,
    [id],
  );
  const [schedule] = result.rows;
  const dueAt = schedule?.next_at ?? null;
  if (schedule === undefined || dueAt === null) return { fires: [], more: true };
  const handledAt = (await readHandled(client, [id])).get(id);
  const fires: NewFire[] =
    handledAt !== undefined && handledAt >= dueAt ? [] : [{ schedule, dueAt, outcome: 'failed', count: 1, flowId: null, reason }];
  await insertFires(client, fires);
  await moveOn(client, [{ id, nextAt: timeAfter(schedule, dueAt), missed: 0 }]);
  return { fires: fires.map(reportOf), more: true };
}

function timeAfter(schedule: StoredSchedule, dueAt: Date): Date | null {
  try {
    return runAfter(schedule, dueAt);
  } catch (error) {
    // The rule was checked when it came in, so this is a zone that only another build of this program knows.
    if (error instanceof Error) return null;
    throw error;
  }
}

async function supersede(client: Queryable, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await client.query({
    name: 'supersede-queued-fires',
    text: "UPDATE millrace.schedule_fires SET outcome = 'skipped', reason = $2 WHERE schedule_id = ANY($1::uuid[]) AND outcome = 'queued'",
    values: [ids, SUPERSEDED],
  });
}

function progressOf({ schedule, due, decisions }: Settled): Progress {
  const missed = decisions.filter(({ outcome }) => outcome === 'missed').reduce((sum, { count }) => sum + count, 0);
  return { id: schedule.id, nextAt: due.nextAt, missed };
}
