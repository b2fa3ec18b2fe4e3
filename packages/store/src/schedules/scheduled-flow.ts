// Makes the flows of schedules inside the transaction that records their fires. The dispatcher finds them in the backlog.
import { PRIORITY_DEFAULT } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { createFlows, type NewFlow } from '../flows/create-flows.ts';
import type { StoredSchedule } from './stored-schedule.ts';

/** What a definition and the schedule's input make of a flow, or why they make none. `expiresInMs`: how long it may wait for its start. */
export type ScheduledPlan =
  | { kind: 'planned'; version: number; phases: NewFlow['phases']; timeoutMs: number | null; expiresInMs: number | null }
  | { kind: 'failed'; reason: string };

export type FireOptions = {
  /** Names of the definitions this process has. */
  knownFlows: readonly string[];
  /** Checks the input and plans the phases. Must not throw. */
  plan(schedule: Pick<StoredSchedule, 'flow' | 'input'>): ScheduledPlan;
};

/** How long a schedule is left to processes that know its definition before any process reports that there is none. */
export const UNKNOWN_FLOW_GRACE = "interval '30 seconds'";

/** Phases of one statement, so that it stays within its time limit. */
const PHASES_PER_STATEMENT_MAX = 20_000;
const REASON_CHARS_MAX = 500;

/** @param now the transaction's time */
export function scheduledFlow(schedule: StoredSchedule, plan: ScheduledPlan & { kind: 'planned' }, now: Date): NewFlow {
  return {
    workspace: schedule.workspace,
    createdBy: schedule.created_by,
    name: schedule.flow,
    version: plan.version,
    inputJson: JSON.stringify(schedule.input),
    tags: schedule.tags,
    priority: PRIORITY_DEFAULT,
    runAt: null,
    phases: plan.phases,
    extras: {
      scheduleId: schedule.id,
      ...(plan.timeoutMs === null ? {} : { timeoutMs: plan.timeoutMs }),
      ...(plan.expiresInMs === null ? {} : { expiresAt: new Date(now.getTime() + plan.expiresInMs).toISOString() }),
    },
    idempotency: null,
    dispatch: false,
    respond: () => ({ status: 202, body: null }),
  };
}

/** Creates flows and answers their ids in order. */
export async function createScheduled(on: Queryable, flows: readonly NewFlow[]): Promise<string[]> {
  const ids: string[] = [];
  for (const slice of slicesOf(flows)) {
    for (const created of await createFlows(on, slice)) {
      if (created.kind !== 'created') throw new Error('a flow without idempotency key was not inserted');
      ids.push(created.flowId);
    }
  }
  return ids;
}

/** Why a flow could not be created, for people. */
export function creationFault(error: unknown): string {
  return `its flow could not be created: ${error instanceof Error ? error.message : String(error)}`.slice(0, REASON_CHARS_MAX);
}

function slicesOf(flows: readonly NewFlow[]): NewFlow[][] {
  const slices: NewFlow[][] = [];
  let phaseCount = Number.POSITIVE_INFINITY;
  for (const flow of flows) {
    if (phaseCount + flow.phases.length > PHASES_PER_STATEMENT_MAX) {
      slices.push([]);
      phaseCount = 0;
    }
    slices.at(-1)?.push(flow);
    phaseCount += flow.phases.length;
  }
  return slices;
}
