// Reads all dead phases of a selection page by page, with the inputs of their flows, for those who carry them elsewhere.
import type { Queryable } from '../database.ts';
import { nextDeadPhases, positionOf, type DeadPosition, type DeadSelection } from './dead-selection.ts';

export type ExportedPhase = {
  incident: string;
  flow: string;
  phase: string;
  flow_id: string;
  phase_id: string;
  status: 'failed' | 'quarantined';
  attempts: number;
  error: { code: string; message: string } | null;
  failed_at: Date;
  created_at: Date;
  tags: Record<string, string>;
  input: unknown;
};

/** Inputs may be large, so few at a time are held in memory. */
const PAGE_ROWS = 25;

/** Pages of the selection in its order. Phases that are no longer dead when their page is read are left out. */
export async function* exportDead(on: Queryable, selection: DeadSelection): AsyncGenerator<ExportedPhase[]> {
  let after: DeadPosition | null = null;
  for (;;) {
    const page = await nextDeadPhases(on, selection, { after, limit: PAGE_ROWS });
    const last = page.at(-1);
    if (last === undefined) return;
    after = positionOf(last);
    const result = await on.query<ExportedPhase>({
      name: 'export-dead',
      text: `SELECT p.cause AS incident, f.name AS flow, p.name AS phase, f.id AS flow_id, p.id AS phase_id, p.status, p.attempts,
               p.error - 'stack' AS error, p.finished_at AS failed_at, f.created_at, f.tags, f.input
             FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, position)
             JOIN millrace.phases p ON p.id = wanted.id JOIN millrace.flows f ON f.id = p.flow_id
             WHERE p.status IN ('failed', 'quarantined') ORDER BY wanted.position`,
      values: [page.map((phase) => phase.id)],
    });
    yield result.rows;
    if (page.length < PAGE_ROWS) return;
  }
}
