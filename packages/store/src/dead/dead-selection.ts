// What a replay, a purge or an export works off: the dead phases of some incidents that had failed by a given moment, in an order that
// does not change while they leave the list.
import type { Queryable } from '../database.ts';
import { inWindow, IS_DEAD, windowOf } from './dead-phases.ts';

export type DeadSelection = {
  workspace: string;
  /** Sorted. */
  incidents: readonly string[];
  failedAfter?: string;
  failedBefore?: string;
  /** Later failures do not belong to it, so that what fails again is not taken twice. With all digits of the database. */
  until: string;
};

/** The last one seen. */
export type DeadPosition = { incident: string; finishedText: string; id: string };

export type SelectedPhase = { id: string; flow_id: string; cause: string; finished_text: string };

const SAMPLED_ROWS_MAX = 100_000;
/** Flows may have several dead phases. */
const SAMPLE_FACTOR = 4;

const SELECTED = `p.workspace = $1 AND ${IS_DEAD} AND ${inWindow('$3', '$4')} AND p.finished_at <= $5::timestamptz`;
const OF_ALL = `${SELECTED} AND p.cause = ANY($2::text[])`;
const OF_ONE = `${SELECTED} AND p.cause = $2`;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

function valuesOf(selection: DeadSelection, incidents: string | readonly string[]): unknown[] {
  return [selection.workspace, incidents, ...windowOf(selection), selection.until];
}

/** The next `limit` phases of the selection, or fewer at its end. */
export async function nextDeadPhases(
  on: Queryable,
  selection: DeadSelection,
  { after, limit }: { after: DeadPosition | null; limit: number },
): Promise<SelectedPhase[]> {
  const found: SelectedPhase[] = [];
  // Incident by incident, each a range of the index: together they would have to be sorted.
  for (const incident of selection.incidents) {
    if (after !== null && incident < after.incident) continue;
    const result = await on.query<SelectedPhase>({
      name: 'next-dead-phases',
      text: `SELECT p.id, p.flow_id, p.cause, p.finished_at::text AS finished_text FROM millrace.phases p
             WHERE ${OF_ONE} AND (p.finished_at, p.id) > ($6::timestamptz, $7::uuid) ORDER BY p.finished_at, p.id LIMIT $8`,
      values: [
        ...valuesOf(selection, incident),
        ...(after?.incident === incident ? [after.finishedText, after.id] : ['-infinity', FIRST_ID]),
        limit - found.length,
      ],
    });
    found.push(...result.rows);
    if (found.length >= limit) break;
  }
  return found;
}

/** Where the next phases come after this one. */
export function positionOf(phase: SelectedPhase): DeadPosition {
  return { incident: phase.cause, finishedText: phase.finished_text, id: phase.id };
}

/** How many phases there are, or how many flows they belong to, counted up to `max` phases. */
export async function countDead(
  on: Queryable,
  selection: DeadSelection,
  { of, max }: { of: 'flows' | 'phases'; max: number },
): Promise<{ count: number; capped: boolean }> {
  const result = await on.query<{ phases: number; flows: number }>({
    name: 'count-dead',
    // The first 32 digits of a phase's id are those of its flow's, and the index has them.
    text: `SELECT count(*)::int AS phases, count(DISTINCT left(id::text, 32))::int AS flows
           FROM (SELECT p.id FROM millrace.phases p WHERE ${OF_ALL} LIMIT $6) AS counted`,
    values: [...valuesOf(selection, selection.incidents), max + 1],
  });
  const { phases = 0, flows = 0 } = result.rows[0] ?? {};
  return { count: Math.min(of === 'flows' ? flows : phases, max), capped: phases > max };
}

/** Up to `count` flows of the selection drawn at random, among its first 100,000 phases. */
export async function sampleFlows(on: Queryable, selection: DeadSelection, count: number): Promise<string[]> {
  const result = await on.query<{ flow_id: string }>({
    name: 'sample-dead-flows',
    text: `SELECT overlay(id::text placing '0000' from 33) AS flow_id
           FROM (SELECT p.id FROM millrace.phases p WHERE ${OF_ALL} LIMIT ${SAMPLED_ROWS_MAX}) AS selected ORDER BY random() LIMIT $6`,
    values: [...valuesOf(selection, selection.incidents), count * SAMPLE_FACTOR],
  });
  return [...new Set(result.rows.map((row) => row.flow_id))].slice(0, count);
}
