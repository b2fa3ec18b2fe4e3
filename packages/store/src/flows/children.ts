// Child flows: started by a running phase, once for each of its keys; their ends wake the parent that waits for them.
import { groupIdOf, type Dispatch } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import type { LoggedEvent } from '../events/logged-event.ts';
import { createFlows, type NewFlow } from './create-flows.ts';
import { wakePhases, type WakeOutcome } from './wake-phases.ts';

const ENDED = "('completed', 'failed', 'cancelled')";
/** A flow that starts itself as its child would never end. */
export const CHILD_DEPTH_MAX = 8;
/** Outputs of all children that one attempt may read. */
const CHILD_OUTPUTS_BYTES_MAX = 64 * 1024 * 1024;

/** SQL: the awaited children of this phase have all ended, or one whose failure is the phase's own has failed that its handler does not know of. */
export function childrenHaveEnded({ phaseId, run, awaits }: { phaseId: string; run: string; awaits: string }): string {
  const awaited = `c.parent_phase_id = ${phaseId} AND c.parent_run = ${run} AND c.child_awaited`;
  return `(NOT EXISTS (SELECT FROM millrace.flows c WHERE ${awaited} AND c.status NOT IN ${ENDED})
    OR (SELECT count(*) FROM millrace.flows c WHERE ${awaited} AND c.child_policy = 'fail' AND c.status IN ('failed', 'cancelled'))
       > coalesce((${awaits}->>'failuresSeen')::int, 0))`;
}

export type ChildPolicy = 'fail' | 'continue' | 'ignore';
export type NewChild = {
  key: string;
  policy: ChildPolicy;
  awaited: boolean;
  flow: Omit<NewFlow, 'extras' | 'idempotency' | 'dispatch' | 'respond'> & Pick<NewFlow, 'extras'>;
};
export type Parent = { phaseId: string; run: number; fence: number };

export type StartedChildren =
  | { kind: 'started'; children: Child[]; dispatches: Dispatch[] }
  /** The phase is not this worker's any more. */
  | { kind: 'fenced' }
  | { kind: 'too-deep' };

/** Starts the children whose keys this run of the phase has not started yet, in one transaction under the phase's fence. */
export async function startChildren(
  database: Pick<Database, 'transaction'>,
  parent: Parent,
  children: readonly NewChild[],
): Promise<StartedChildren> {
  return database.transaction(async (client) => {
    // FOR SHARE: nobody takes the phase over, and nobody ends it, until the children are there.
    const held = await client.query<{ depth: number }>({
      name: 'hold-parent',
      text: `SELECT f.depth FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id
             WHERE p.id = $1 AND p.fence = $2 AND p.status = 'running' FOR SHARE OF p`,
      values: [parent.phaseId, parent.fence],
    });
    const depth = held.rows[0]?.depth;
    if (depth === undefined) return { kind: 'fenced' };
    if (depth + 1 > CHILD_DEPTH_MAX) return { kind: 'too-deep' };
    const there = new Map((await knownChildren(client, parent, children)).map((child) => [child.key, child]));
    const missing = await takeKeys(
      client,
      parent,
      children.filter((child) => !there.has(child.key)),
    );
    // Another call of the same handler, which has committed since, took these.
    if (missing.length + there.size < new Set(children.map((child) => child.key)).size)
      for (const child of await knownChildren(client, parent, children)) there.set(child.key, child);
    const created =
      missing.length === 0
        ? []
        : await createFlows(
            client,
            missing.map((child) => asFlow(child, parent, depth + 1)),
          );
    for (const [index, { key, policy, awaited, flow }] of missing.entries()) {
      const one = created[index];
      if (one?.kind === 'created') there.set(key, { id: one.flowId, name: flow.name, key, policy, awaited, status: 'queued', error: null });
    }
    return {
      kind: 'started',
      children: [...there.values()],
      dispatches: created.flatMap((one) => (one.kind === 'created' ? one.dispatches : [])),
    };
  });
}

// Whoever writes a key first starts the child; others wait here until that is committed or undone. In order, so that they never wait in a circle.
async function takeKeys(on: Queryable, parent: Parent, children: readonly NewChild[]): Promise<NewChild[]> {
  if (children.length === 0) return [];
  const result = await on.query<{ key: string }>({
    name: 'take-child-keys',
    text: `INSERT INTO millrace.children (parent_phase_id, run, key) SELECT $1, $2, k FROM unnest($3::text[]) AS k ORDER BY k ON CONFLICT DO NOTHING RETURNING key`,
    values: [parent.phaseId, parent.run, [...new Set(children.map((child) => child.key))]],
  });
  const taken = new Set(result.rows.map((row) => row.key));
  return children.filter((child) => taken.delete(child.key));
}

function asFlow({ key, policy, awaited, flow }: NewChild, parent: Parent, depth: number): NewFlow {
  const link = { phaseId: parent.phaseId, run: parent.run, key, policy, awaited, depth };
  return {
    ...flow,
    extras: { ...flow.extras, parent: link },
    idempotency: null,
    dispatch: true,
    respond: () => ({ status: 202, body: null }),
  };
}

const CHILD_COLUMNS = 'id, name, child_key AS key, child_policy AS policy, child_awaited AS awaited, status, error';

async function knownChildren(on: Queryable, parent: Parent, children: readonly NewChild[]): Promise<Child[]> {
  const result = await on.query<Child>({
    name: 'known-children',
    text: `SELECT ${CHILD_COLUMNS} FROM millrace.flows WHERE parent_phase_id = $1 AND parent_run = $2 AND child_key = ANY($3::text[])`,
    values: [parent.phaseId, parent.run, children.map((child) => child.key)],
  });
  return result.rows;
}

export type Child = {
  id: string;
  /** Of its flow definition. */
  name: string;
  key: string;
  policy: ChildPolicy;
  awaited: boolean;
  status: string;
  error: { code: string; message: string } | null;
};

/** All children of one run of a phase. */
export async function readChildren(on: Queryable, parent: Pick<Parent, 'phaseId' | 'run'>): Promise<Child[]> {
  const result = await on.query<Child>({
    name: 'read-children',
    text: `SELECT ${CHILD_COLUMNS} FROM millrace.flows WHERE parent_phase_id = $1 AND parent_run = $2`,
    values: [parent.phaseId, parent.run],
  });
  return result.rows;
}

/** Results of the completed phases of flows, by flow. `too-large`: hand on references instead of contents. */
export async function readChildOutputs(
  on: Queryable,
  flowIds: readonly string[],
): Promise<Map<string, Record<string, unknown>> | 'too-large'> {
  const size = await on.query<{ size: number | null }>({
    name: 'size-child-outputs',
    text: `SELECT sum(octet_length(p.output::text))::float8 AS size FROM millrace.flows f
           JOIN millrace.phases p ON p.id > f.id AND p.id <= overlay(f.id::text PLACING 'ffff' FROM 33)::uuid WHERE f.id = ANY($1::uuid[])`,
    values: [flowIds],
  });
  if ((size.rows[0]?.size ?? 0) > CHILD_OUTPUTS_BYTES_MAX) return 'too-large';
  const result = await on.query<{ id: string; outputs: Record<string, unknown> }>({
    name: 'read-child-outputs',
    text: `SELECT f.id, (SELECT coalesce(jsonb_object_agg(p.name, p.output), '{}') FROM millrace.phases p
             WHERE p.id > f.id AND p.id <= overlay(f.id::text PLACING 'ffff' FROM 33)::uuid AND p.status = 'completed') AS outputs
           FROM millrace.flows f WHERE f.id = ANY($1::uuid[])`,
    values: [flowIds],
  });
  return new Map(result.rows.map((row) => [row.id, row.outputs]));
}

/** Tells parents of children that have ended and wakes those that waited for nothing else. Answers also how many parents were told. */
export async function settleChildren(
  database: Pick<Database, 'transaction' | 'main'>,
  limit: number,
): Promise<WakeOutcome & { count: number }> {
  const found = await database.main.query<{ id: string }>({
    name: 'parents-to-tell',
    text: `SELECT DISTINCT parent_phase_id AS id FROM (
             SELECT parent_phase_id FROM millrace.flows WHERE parent_phase_id IS NOT NULL AND NOT child_settled AND status IN ${ENDED} LIMIT $1) ended`,
    values: [limit],
  });
  const ids = found.rows.map((row) => row.id);
  if (ids.length === 0) return { dispatches: [], events: [] as LoggedEvent[], count: 0 };
  const outcome = await database.transaction(async (client) => {
    await client.query('SELECT FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE', [ids.map(groupIdOf)]);
    await client.query(
      `UPDATE millrace.flows SET child_settled = true WHERE id IN (
         SELECT id FROM millrace.flows WHERE parent_phase_id = ANY($1::uuid[]) AND NOT child_settled AND status IN ${ENDED} ORDER BY id FOR UPDATE SKIP LOCKED)`,
      [ids],
    );
    const done = await client.query<{ id: string }>(
      `SELECT p.id FROM millrace.phases p JOIN millrace.flows f ON f.id = p.flow_id
       WHERE p.id = ANY($1::uuid[]) AND p.status = 'waiting' AND (p.awaits->>'children')::boolean AND ${childrenHaveEnded({ phaseId: 'p.id', run: 'f.run', awaits: 'p.awaits' })}`,
      [ids],
    );
    return wakePhases(client, { ids: done.rows.map((row) => row.id), reason: 'woken' });
  });
  return { ...outcome, count: ids.length };
}

/** Open children that were awaited by a phase which has ended without them: they are to be cancelled. */
export async function orphans(on: Queryable, limit: number): Promise<{ flowId: string; workspace: string }[]> {
  const result = await on.query<{ flowId: string; workspace: string }>({
    name: 'orphans',
    text: `SELECT c.id AS "flowId", c.workspace FROM millrace.flows c JOIN millrace.phases p ON p.id = c.parent_phase_id JOIN millrace.flows f ON f.id = p.flow_id
           WHERE c.parent_phase_id IS NOT NULL AND c.status NOT IN ${ENDED} AND c.child_awaited
             AND (c.parent_run < f.run OR p.status IN ('cancelled', 'failed', 'quarantined', 'completed')) LIMIT $1`,
    values: [limit],
  });
  return result.rows;
}
