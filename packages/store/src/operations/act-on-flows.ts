// Cancels or retries several flows inside the transaction of an operation's step, each by the very function that does it for one.
import type { Database, PoolClient } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { cancelFlow, type FlowActionOutcome } from '../flows/cancel-flow.ts';
import { retryFlow } from '../flows/retry-flow.ts';

export type FlowsAction = {
  action: 'cancel' | 'retry';
  workspace: string;
  by: string;
  flowIds: readonly string[];
  /** Keeps a flow that cannot be changed at all from undoing what is done to the others, at the price of a savepoint each. */
  apart: boolean;
};

export type FlowsActionOutcome = {
  events: LoggedEvent[];
  /** Flows that were changed, in the order of their ids. */
  changed: string[];
  /** Their status did not allow it, or they are gone. */
  skipped: number;
  failed: number;
  /** Why the last one failed. */
  reason: string | null;
};

export async function actOnFlows(client: PoolClient, action: FlowsAction): Promise<FlowsActionOutcome> {
  const flowIds = action.flowIds.toSorted();
  // All flows first and in the order of their ids, as everything does that locks several: their phases are locked after them.
  await client.query('SELECT id FROM millrace.flows WHERE id = ANY($1::uuid[]) AND workspace = $2 ORDER BY id FOR UPDATE', [
    flowIds,
    action.workspace,
  ]);
  const outcome: FlowsActionOutcome = { events: [], changed: [], skipped: 0, failed: 0, reason: null };
  for (const flowId of flowIds) {
    const done = action.apart ? await actApart(client, action, flowId) : await actOnFlow(client, action, flowId);
    if (done.kind === 'done') {
      outcome.events.push(...done.events);
      outcome.changed.push(flowId);
    } else if (done.kind === 'failed') {
      outcome.failed += 1;
      outcome.reason = done.reason;
    } else outcome.skipped += 1;
  }
  return outcome;
}

async function actApart(
  client: PoolClient,
  action: FlowsAction,
  flowId: string,
): Promise<FlowActionOutcome | { kind: 'failed'; reason: string }> {
  await client.query('SAVEPOINT one_flow');
  try {
    const outcome = await actOnFlow(client, action, flowId);
    await client.query('RELEASE SAVEPOINT one_flow');
    return outcome;
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT one_flow');
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

function actOnFlow(client: PoolClient, { action, workspace, by }: FlowsAction, flowId: string): Promise<FlowActionOutcome> {
  // They bring their own transaction, which here is the one that is open already.
  const inside: Pick<Database, 'transaction'> = { transaction: (run) => run(client) };
  return action === 'cancel' ? cancelFlow(inside, { flowId, workspace, by }) : retryFlow(inside, { flowId, workspace });
}
