// A step of a bulk cancel or retry: counts what there is first, then changes the next few flows that match, from the newest to the oldest.
import { OPERATION_TOTAL_MAX } from '@millrace/shared';
import { actOnFlows, countWithin, searchFlowIds, type FlowFilter, type PoolClient, type StoredOperation } from '@millrace/store';
import { countsOf, ended, paceOf, STEP_FLOWS_MAX, waiting, type Step } from './operation-step.ts';

const COUNT = { max: OPERATION_TOTAL_MAX, rowsMax: 2_000_000, budgetMs: 2_000 };
/** A step that finds nothing for this long notes how far it came. */
const SEARCH = { rowsMax: 100_000, budgetMs: 500 };

export const bulkStep: Step = async (client, operation, apart) => {
  const filter: FlowFilter = { ...operation.selection.flows, workspace: operation.workspace };
  // Ids are times: what was accepted after the operation is none of its business.
  const before = operation.cursor !== null && 'before' in operation.cursor ? operation.cursor.before : operation.id;
  if (operation.total === null) return countFirst(client, operation, filter);
  const pace = paceOf(operation, STEP_FLOWS_MAX);
  if (pace.count === 0) return waiting({}, pace.waitMs);
  const { ids, reached } = await searchFlowIds(client, filter, { before, hitsMax: pace.count, ...SEARCH });
  const outcome = await actOnFlows(client, {
    action: operation.kind === 'retry' ? 'retry' : 'cancel',
    workspace: operation.workspace,
    by: operation.created_by,
    flowIds: ids,
    apart,
  });
  const change = { ...countsOf(outcome), pacedAtMs: pace.after(ids.length) };
  const announced = { events: outcome.events, reason: outcome.reason, cancelled: operation.kind === 'cancel' ? outcome.changed : [] };
  if (reached === null) return ended(change, announced);
  return { change: { ...change, cursor: { before: reached } }, result: { ...announced, next: 'now' } };
};

async function countFirst(client: PoolClient, operation: StoredOperation, filter: FlowFilter) {
  const total = await countWithin(client, filter, { before: operation.id, ...COUNT });
  return { change: { total, cursor: { before: operation.id } }, result: { events: [], cancelled: [], next: 'now' as const } };
}
