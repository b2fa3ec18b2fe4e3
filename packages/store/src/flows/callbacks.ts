// Phases that wait for a service to call back: they hold no worker, and end by a callback or when their time is over. Whoever ends one
// claims it first, in the same transaction, so that the statements which complete and fail phases stay the only ones that do.
import { backoffDelayMs, groupIdOf, isTerminalFlow, type BackoffPolicy, type Dispatch, type PhaseStatus } from '@millrace/shared';
import type { Database, PoolClient, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { readCallbackToken, type CallbackRight } from './callback-token.ts';
import { completePhases } from './complete-phases.ts';
import { failPhase, type PhaseError } from './fail-phase.ts';
import { appendEvents, lockFlow, type LockedFlow } from './flow-change.ts';

export type CallbackWait = {
  id: string;
  fence: number;
  worker: string;
  /** Until the attempt has failed for want of a callback. */
  timeoutMs: number;
  /** How to go on after that: when it happens, nobody may be there who knows the definition. */
  backoff: BackoffPolicy;
};

/** What came of it, to be published and dispatched. */
type Changes = { dispatches: Dispatch[]; events: LoggedEvent[] };

export type CallbackOutcome =
  | ({ kind: 'accepted'; status: Extract<PhaseStatus, 'completed' | 'failed' | 'retrying'> } & Changes)
  /** No token of ours, or one whose attempt is over without having been answered. */
  | { kind: 'unknown' }
  | { kind: 'refused'; because: 'flow-ended' | 'answered'; status: string };

export type CallbackFailure = { token: string; error: PhaseError; retryable: boolean };

type Target = Pick<Database, 'transaction' | 'main'>;
type Claimed = { id: string; fence: string; attempts: number; attempt_max: number; was: PhaseStatus };

/** Who ends attempts on behalf of services, and those that no service has ended. Stands in the attempts where a worker does otherwise. */
const BY_SERVICE = 'callback';
const BY_TIME = 'callback-timeout';
const CLAIM_COLUMNS = 'p.id, p.fence, p.attempts, p.attempt_max';

/** Parks a running phase until its service calls back. `committed` is false when the fence refused it. */
export async function awaitCallback(
  database: Pick<Database, 'transaction'>,
  wait: CallbackWait,
): Promise<{ committed: boolean; events: LoggedEvent[] }> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(wait.id));
    const parked = await client.query<{ name: string; due_at: Date }>({
      name: 'await-callback',
      text: `
UPDATE millrace.phases p SET status = 'waiting', lease_owner = NULL, dispatched = false, due_at = u.until,
       awaits = jsonb_build_object('kind', 'callback', 'until', u.until, 'fence', p.fence, 'backoff', $5::jsonb)
FROM (SELECT now() + $4::bigint * interval '1 millisecond' AS until) u
WHERE p.id = $1 AND p.fence = $2 AND p.lease_owner = $3 AND p.status = 'running' RETURNING p.name, p.due_at`,
      values: [wait.id, wait.fence, wait.worker, wait.timeoutMs, JSON.stringify(wait.backoff)],
    });
    const row = parked.rows[0];
    if (flow === undefined || row === undefined) return { committed: false, events: [] };
    await countActive(client, flow.id, -1);
    const event = { type: 'phase.waiting', phase: row.name, data: { callback: true, until: row.due_at.toISOString() } };
    return { committed: true, events: await appendEvents(client, flow.id, [event]) };
  });
}

/** Completes the phase of a token with what its service sends. */
export async function completeCallback(database: Target, answer: { token: string; outputJson: string }): Promise<CallbackOutcome> {
  return answered(database, answer.token, async (client, { claimed }) => {
    const completion = { id: claimed.id, fence: Number(claimed.fence), worker: BY_SERVICE, outputJson: answer.outputJson };
    const { dispatches, events } = await completePhases(client, [completion], { dispatch: true });
    return { kind: 'accepted', status: 'completed', dispatches, events };
  });
}

/** Fails the attempt of a token: it retries by its policy when it is retryable and has attempts left. */
export async function failCallback(database: Target, { token, error, retryable }: CallbackFailure): Promise<CallbackOutcome> {
  return answered(database, token, async (client, { claimed, right }) => {
    const end = { by: BY_SERVICE, error, backoff: retryable ? right.backoff : null };
    const { isLast, ...changes } = await failClaimed(client, claimed, end);
    return { kind: 'accepted', status: isLast ? 'failed' : 'retrying', ...changes };
  });
}

/** Fails the attempts whose callback did not come in time. Answers how many there were, and what came of it. */
export async function failOverdueCallbacks(
  database: Pick<Database, 'transaction' | 'hot'>,
  limit: number,
): Promise<Changes & { count: number }> {
  const overdue = await database.hot.query<{ id: string }>({
    name: 'overdue-callbacks',
    text: `SELECT id FROM millrace.phases WHERE due_at <= now() AND status = 'waiting' AND awaits->>'kind' = 'callback' ORDER BY due_at LIMIT $1`,
    values: [limit],
  });
  const changes: Changes = { dispatches: [], events: [] };
  // One by one: each changes one flow, and none is worth holding the rows of another for.
  for (const { id } of overdue.rows) {
    const { dispatches, events } = await failOverdue(database, id);
    changes.dispatches.push(...dispatches);
    changes.events.push(...events);
  }
  return { ...changes, count: overdue.rows.length };
}

type Answered = { claimed: Claimed; right: CallbackRight };

async function answered(
  database: Target,
  token: string,
  end: (client: PoolClient, answered: Answered) => Promise<CallbackOutcome>,
): Promise<CallbackOutcome> {
  const right = await readCallbackToken(database.main, token);
  if (right === undefined) return { kind: 'unknown' };
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(right.phaseId));
    if (flow === undefined || flow.run !== right.run) return { kind: 'unknown' };
    if (isTerminalFlow(flow.status)) return { kind: 'refused', because: 'flow-ended', status: flow.status };
    const claimed = await claimAnswered(client, right);
    return claimed === undefined ? whyRefused(client, right) : end(client, { claimed, right });
  });
}

// A service may call back before the worker has written that the phase waits, and after the worker was lost: then the phase is running, or
// queued for the same attempt. The new fence refuses whoever else works on it, and the delivery that may be on its way finds nothing to do.
async function claimAnswered(client: Queryable, { phaseId, attempt }: CallbackRight): Promise<Claimed | undefined> {
  const result = await client.query<Claimed>({
    name: 'claim-answered',
    text: `
WITH held AS (
  SELECT id, status FROM millrace.phases
  WHERE id = $1 AND attempts = $2::int - 1 AND fence > 0 AND status IN ('queued', 'running', 'waiting') FOR UPDATE
)
UPDATE millrace.phases p SET status = 'running', fence = p.fence + 1, lease_owner = $3, due_at = NULL, awaits = NULL, held = NULL
FROM held WHERE p.id = held.id RETURNING ${CLAIM_COLUMNS}, held.status AS was`,
    values: [phaseId, attempt, BY_SERVICE],
  });
  const claimed = result.rows[0];
  if (claimed?.was === 'waiting') await countActive(client, groupIdOf(phaseId), 1);
  return claimed;
}

async function whyRefused(client: Queryable, { phaseId, run, attempt }: CallbackRight): Promise<CallbackOutcome> {
  const result = await client.query<{ status: PhaseStatus; isOver: boolean }>({
    name: 'why-callback-refused',
    text: `
SELECT p.status, p.finished_at IS NOT NULL OR EXISTS (
  SELECT FROM millrace.attempts a WHERE a.phase_id = p.id AND a.run = $2 AND a.attempt = $3 AND a.worker = $4) AS "isOver"
FROM millrace.phases p WHERE p.id = $1`,
    values: [phaseId, run, attempt, BY_SERVICE],
  });
  const phase = result.rows[0];
  return phase?.isOver === true ? { kind: 'refused', because: 'answered', status: phase.status } : { kind: 'unknown' };
}

async function failOverdue(database: Pick<Database, 'transaction'>, phaseId: string): Promise<Changes> {
  return database.transaction(async (client) => {
    const flow: LockedFlow | undefined = await lockFlow(client, groupIdOf(phaseId));
    if (flow?.status === 'paused') {
      // Nothing fails while its flow is paused; resuming gives it its time back.
      await client.query("UPDATE millrace.phases SET due_at = 'infinity' WHERE id = $1 AND status = 'waiting' AND due_at <= now()", [
        phaseId,
      ]);
      return { dispatches: [], events: [] };
    }
    const result = await client.query<Claimed & { backoff: BackoffPolicy }>({
      name: 'claim-overdue',
      text: `
WITH held AS (
  SELECT id, status, awaits FROM millrace.phases WHERE id = $1 AND due_at <= now() AND status = 'waiting' AND awaits->>'kind' = 'callback' FOR UPDATE
)
UPDATE millrace.phases p SET status = 'running', fence = p.fence + 1, lease_owner = $2, due_at = NULL, awaits = NULL
FROM held WHERE p.id = held.id RETURNING ${CLAIM_COLUMNS}, held.status AS was, held.awaits->'backoff' AS backoff`,
      values: [phaseId, BY_TIME],
    });
    const claimed = result.rows[0];
    if (flow === undefined || claimed === undefined) return { dispatches: [], events: [] };
    await countActive(client, flow.id, 1);
    const error = { code: 'callback-timeout', message: 'the service did not call back in time' };
    return failClaimed(client, claimed, { by: BY_TIME, error, backoff: claimed.backoff });
  });
}

// The job that brought the attempt is done with, so a retry needs a new one: the next generation.
async function failClaimed(
  client: PoolClient,
  claimed: Claimed,
  end: { by: string; error: PhaseError; backoff: BackoffPolicy | null },
): Promise<Changes & { isLast: boolean }> {
  const attempt = claimed.attempts + 1;
  const isLast = end.backoff === null || attempt >= claimed.attempt_max;
  const delayMs = end.backoff === null || isLast ? null : backoffDelayMs(end.backoff, attempt, Math.random());
  const failure = { id: claimed.id, fence: Number(claimed.fence), worker: end.by, error: end.error, retryDelayMs: delayMs };
  const { events } = await failPhase({ transaction: (fn) => fn(client) }, failure);
  return { isLast, events, dispatches: delayMs === null ? [] : await dispatchRetry(client, claimed.id, delayMs) };
}

async function dispatchRetry(client: Queryable, phaseId: string, delayMs: number): Promise<Dispatch[]> {
  const result = await client.query<Dispatch>({
    name: 'dispatch-callback-retry',
    text: `UPDATE millrace.phases SET generation = generation + 1, dispatched = true WHERE id = $1 AND status = 'retrying'
           RETURNING id, generation, workspace, priority, greatest(1, attempt_max - attempts) AS attempts, $2::int AS "delayMs"`,
    values: [phaseId, delayMs],
  });
  return result.rows;
}

// A flow waits while none of its phases is queued, running or retrying. A paused one stays paused.
async function countActive(client: Queryable, flowId: string, change: 1 | -1): Promise<void> {
  await client.query({
    name: 'count-active',
    text: `UPDATE millrace.flows SET phases_active = phases_active + $2::int,
             status = CASE WHEN phases_active + $2::int = 0 AND status = 'running' THEN 'waiting'
                           WHEN phases_active + $2::int > 0 AND status = 'waiting' THEN 'running' ELSE status END WHERE id = $1`,
    values: [flowId, change],
  });
}
