// The ways through the flows of a workspace, each along one index in the order of ids, and which of them leads past the fewest flows.
import { FLOW_STATUSES, isTerminalFlow, type FlowStatus } from '@millrace/shared';
import type { Queryable } from '../database.ts';
import { createValues, hasTags, tagCondition, type FlowFilter, type Values } from './flow-filter.ts';

/** Ids in between; both exclusive. */
export type IdRange = { after?: string; before?: string };

export type FlowPath =
  /** Newest first along an index: every flow of the workspace that fulfils one of these conditions, which exclude each other. */
  | { kind: 'ordered'; conditions: readonly ((values: Values) => string)[] }
  /** These flows and no others. */
  | { kind: 'ids'; ids: readonly string[] };

/** A path with no more flows than this is walked to its end at once. */
const SHORT_PATH_MAX = 5_000;

const WHOLE: FlowPath = { kind: 'ordered', conditions: [() => 'true'] };
const NOWHERE: FlowPath = { kind: 'ids', ids: [] };

/** True when walking the path alone answers the search: nothing else has to be looked at in the rows. */
export function isWholeSearch(filter: FlowFilter): boolean {
  const { workspace: _workspace, statuses, flow, ...rest } = filter;
  const others = Object.values({ ...rest, tags: hasTags(filter) ? true : undefined }).some((value) => value !== undefined);
  return !others && (statuses === undefined || (flow === undefined && areIndexed(statuses)));
}

/** The path of a search that is whole. */
export function pathOfWhole({ statuses, flow }: FlowFilter): FlowPath {
  if (statuses !== undefined) return statusPath(statuses);
  return flow === undefined ? WHOLE : namePath(flow);
}

/**
 * The path with the fewest flows on it, as far as counting to a few thousand tells. All paths lead past every flow that the filter can
 * match; what else the filter says is checked on the way.
 */
export async function choosePath(on: Queryable, filter: FlowFilter): Promise<FlowPath> {
  const tagged = hasTags(filter) ? await taggedIds(on, filter) : undefined;
  if (tagged !== undefined && tagged.length <= SHORT_PATH_MAX) return { kind: 'ids', ids: tagged };
  if (filter.statuses?.length === 0) return NOWHERE;
  const candidates = candidatePaths(filter);
  const [first] = candidates;
  if (first === undefined) return WHOLE;
  if (candidates.length === 1) return first;
  let best = { path: first, length: Number.POSITIVE_INFINITY };
  for (const path of candidates) {
    const length = await pathLength(on, { path, workspace: filter.workspace });
    if (length < best.length) best = { path, length };
  }
  return best.path;
}

// In the order of preference where counting does not tell.
function candidatePaths({ error, statuses, flow }: FlowFilter): FlowPath[] {
  return [
    ...(error === undefined ? [] : [{ kind: 'ordered', conditions: [() => 'error IS NOT NULL'] } satisfies FlowPath]),
    ...(statuses === undefined || !areIndexed(statuses) ? [] : [statusPath(statuses)]),
    ...(flow === undefined ? [] : [namePath(flow)]),
  ];
}

// The index of statuses leaves out completed flows, which are nearly all.
function areIndexed(statuses: readonly FlowStatus[]): boolean {
  return !statuses.includes('completed');
}

// One condition each, written as a literal: the planner must see that it is one the index has.
function statusPath(statuses: readonly FlowStatus[]): FlowPath {
  if (statuses.length === 0) return NOWHERE;
  return {
    kind: 'ordered',
    conditions: statuses.filter((status) => FLOW_STATUSES.includes(status)).map((status) => () => `status = '${status}'`),
  };
}

function namePath(flow: string): FlowPath {
  return { kind: 'ordered', conditions: [(values) => `name = ${values.add(flow)}`] };
}

async function taggedIds(on: Queryable, { workspace, tags = {} }: FlowFilter): Promise<string[]> {
  const values = createValues();
  const result = await on.query<{ id: string }>(
    `SELECT id FROM millrace.flows WHERE workspace = ${values.add(workspace)} AND ${tagCondition(tags, values)} LIMIT ${SHORT_PATH_MAX + 1}`,
    values.list,
  );
  return result.rows.map((row) => row.id);
}

async function pathLength(on: Queryable, { path, workspace }: { path: FlowPath; workspace: string }): Promise<number> {
  const values = createValues();
  const inWorkspace = `workspace = ${values.add(workspace)}`;
  const arms = (path.kind === 'ids' ? [] : path.conditions).map(
    (write) => `(SELECT id FROM millrace.flows WHERE ${inWorkspace} AND ${write(values)} LIMIT ${SHORT_PATH_MAX})`,
  );
  const result = await on.query<{ length: number }>(
    `SELECT count(*)::int AS length FROM (${arms.join(' UNION ALL ')}) AS path`,
    values.list,
  );
  return result.rows[0]?.length ?? 0;
}

/** Statuses of which a flow may be cancelled, and retried. */
export function actionableStatuses(action: 'cancel' | 'retry'): FlowStatus[] {
  return action === 'retry' ? ['failed'] : FLOW_STATUSES.filter((status) => !isTerminalFlow(status));
}
