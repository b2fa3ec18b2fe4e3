// A worker reports a failed attempt: the phase retries at its time, or fails and takes with it what depends on it.
import { groupIdOf, incidentIdOf } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { appendEvents, closePhases, lockFlow, type LockedFlow, type NewEvent } from './flow-change.ts';

/** What is kept of a failure. `code` groups failures of one kind. */
export type PhaseError = { code: string; message: string; stack?: string };

export type PhaseFailure = {
  id: string;
  fence: number;
  worker: string;
  error: PhaseError;
  /** Milliseconds until the next attempt; null when there is none. */
  retryDelayMs: number | null;
};

/** `committed` is false when the fence refused it: someone else owns the phase, or nobody may run it any more. */
export type FailureOutcome = { committed: boolean; events: LoggedEvent[] };

type FailedRow = { id: string; name: string; attempts: number; run_started_at: Date; due_at: Date | null };

export const NOT_OURS: FailureOutcome = { committed: false, events: [] };

export async function failPhase(database: Pick<Database, 'transaction'>, failure: PhaseFailure): Promise<FailureOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(failure.id));
    const row = flow === undefined ? undefined : await markPhase(client, failure);
    if (flow === undefined || row === undefined) return NOT_OURS;
    await recordAttempt(client, { failure, row, run: flow.run });
    const news =
      failure.retryDelayMs === null
        ? await endBranch(client, { flow, row, error: failure.error, wasActive: true })
        : [retryEvent(row, failure)];
    return { committed: true, events: await appendEvents(client, flow.id, news) };
  });
}

async function markPhase(client: Queryable, failure: PhaseFailure): Promise<FailedRow | undefined> {
  const result = await client.query<FailedRow>({
    name: 'fail-phase',
    text: `
UPDATE millrace.phases
SET status = CASE WHEN $4::int IS NULL THEN 'failed' ELSE 'retrying' END, attempts = attempts + 1, error = $5, lease_owner = NULL, interruptions = 0, interrupted_at = NULL,
    due_at = now() + $4::int * interval '1 millisecond', finished_at = CASE WHEN $4::int IS NULL THEN clock_timestamp() END
WHERE id = $1 AND fence = $2 AND lease_owner = $3 AND status = 'running'
RETURNING id, name, attempts, started_at AS run_started_at, due_at`,
    values: [failure.id, failure.fence, failure.worker, failure.retryDelayMs, JSON.stringify(failure.error)],
  });
  return result.rows[0];
}

async function recordAttempt(
  client: Queryable,
  { failure, row, run }: { failure: PhaseFailure; row: FailedRow; run: number },
): Promise<void> {
  await client.query({
    name: 'record-failed-attempt',
    text: `INSERT INTO millrace.attempts (phase_id, fence, workspace, attempt, run, worker, outcome, error, started_at)
           SELECT id, $2, workspace, $3, $4, $5, 'failed', $6, $7 FROM millrace.phases WHERE id = $1`,
    values: [failure.id, failure.fence, row.attempts, run, failure.worker, JSON.stringify(failure.error), row.run_started_at],
  });
}

function retryEvent(row: FailedRow, failure: PhaseFailure): NewEvent {
  return {
    type: 'phase.retrying',
    phase: row.name,
    data: { attempt: row.attempts, error: shown(failure.error), retryAt: row.due_at?.toISOString() ?? null },
  };
}

type EndedBranch = {
  flow: LockedFlow;
  row: Pick<FailedRow, 'id' | 'name' | 'attempts'>;
  error: PhaseError;
  wasActive: boolean;
  type?: 'phase.failed' | 'phase.quarantined';
};

/**
 * Fails a phase whose signal did not come in time. Nothing happens when it came after all, or when the time was not over. While its flow is
 * paused nothing may fail either: the wait is put off until the flow is resumed, which sets its time anew.
 */
export async function failOverdueWait(database: Pick<Database, 'transaction'>, phaseId: string): Promise<FailureOutcome> {
  return database.transaction(async (client) => {
    const flow = await lockFlow(client, groupIdOf(phaseId));
    if (flow === undefined) return NOT_OURS;
    if (flow.status === 'paused') {
      await client.query("UPDATE millrace.phases SET due_at = 'infinity' WHERE id = $1 AND status = 'waiting' AND due_at <= now()", [
        phaseId,
      ]);
      return NOT_OURS;
    }
    const error = { code: 'timeout', message: 'the signal did not come in time' };
    const result = await client.query<Pick<FailedRow, 'id' | 'name' | 'attempts'>>({
      name: 'fail-overdue-wait',
      text: `UPDATE millrace.phases SET status = 'failed', error = $2, due_at = NULL, finished_at = clock_timestamp()
             WHERE id = $1 AND status = 'waiting' AND signal IS NOT NULL AND due_at <= now() RETURNING id, name, attempts`,
      values: [phaseId, JSON.stringify(error)],
    });
    const row = result.rows[0];
    if (row === undefined) return NOT_OURS;
    return {
      committed: true,
      events: await appendEvents(client, flow.id, await endBranch(client, { flow, row, error, wasActive: false })),
    };
  });
}

/**
 * Ends a phase's branch: what needs it can never run and is skipped, all the way down, while other branches go on. The flow ends when
 * nothing is open any more. Answers the events to append.
 */
export async function endBranch(
  client: Queryable,
  { flow, row, error: failure, wasActive, type = 'phase.failed' }: EndedBranch,
): Promise<NewEvent[]> {
  const skipped = await client.query<{ name: string }>({
    name: 'skip-dependants',
    text: `
WITH RECURSIVE behind AS (
  SELECT unnest(dependants) AS id FROM millrace.phases WHERE id = $1
  UNION SELECT unnest(p.dependants) FROM millrace.phases p JOIN behind b ON p.id = b.id
), grouped AS (
  UPDATE millrace.phases SET cause = $2, purged_at = NULL, purged_by = NULL WHERE id = $1
)
UPDATE millrace.phases p SET status = 'skipped', finished_at = clock_timestamp() FROM behind b WHERE p.id = b.id AND p.status = 'pending' RETURNING p.name`,
    values: [row.id, incidentIdOf({ workspace: flow.workspace, flow: flow.name, phase: row.name, error: failure })],
  });
  const error = { phase: row.name, ...shown(failure) };
  const end = await closePhases(client, flow, { count: 1 + skipped.rows.length, active: wasActive ? 1 : 0, failed: 1, error });
  return [
    { type, phase: row.name, data: { attempt: row.attempts, error: shown(failure) } },
    ...skipped.rows.map(({ name }) => ({ type: 'phase.skipped', phase: name, data: { because: row.name } })),
    ...end,
  ];
}

// Stacks stay in the attempt's row, for those who look there; events and answers carry none.
function shown(error: PhaseError): { code: string; message: string } {
  return { code: error.code, message: error.message };
}
