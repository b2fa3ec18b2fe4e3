// Gives dead phases that have none yet their incident: those that failed under older code, or on a way that does not know of incidents.
// Level-triggered: what is grouped is left alone.
import { incidentIdOf } from '@millrace/shared';
import type { Database } from '../database.ts';
import { IS_DEAD } from './dead-phases.ts';

type Ungrouped = { id: string; workspace: string; flow: string; phase: string; error: { code: string; message: string } | null };

/** Groups up to `limit` phases and answers how many there were. */
export async function groupFailures(database: Pick<Database, 'main' | 'transaction'>, limit: number): Promise<number> {
  const found = await database.main.query<{ flow_id: string }>({
    name: 'find-ungrouped',
    text: `SELECT p.flow_id FROM millrace.workspaces w
           CROSS JOIN LATERAL (SELECT p.flow_id FROM millrace.phases p WHERE p.workspace = w.name AND p.cause IS NULL AND ${IS_DEAD} LIMIT $1) AS p LIMIT $1`,
    values: [limit],
  });
  if (found.rows.length === 0) return 0;
  await database.transaction(async (client) => {
    const flowIds = [...new Set(found.rows.map((row) => row.flow_id))];
    await client.query('SELECT id FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE', [flowIds]);
    const ungrouped = await client.query<Ungrouped>({
      name: 'read-ungrouped',
      text: `SELECT p.id, p.workspace, f.name AS flow, p.name AS phase, p.error FROM millrace.flows f
             JOIN millrace.phases p ON p.id > f.id AND p.id <= overlay(f.id::text placing 'ffff' from 33)::uuid
             WHERE f.id = ANY($1::uuid[]) AND p.cause IS NULL AND ${IS_DEAD}`,
      values: [flowIds],
    });
    await client.query({
      name: 'group-failures',
      text: 'UPDATE millrace.phases p SET cause = g.cause FROM unnest($1::uuid[], $2::text[]) AS g (id, cause) WHERE p.id = g.id',
      values: [ungrouped.rows.map((row) => row.id), ungrouped.rows.map((row) => incidentIdOf({ ...row, error: row.error ?? UNKNOWN }))],
    });
  });
  return found.rows.length;
}

const UNKNOWN = { code: 'unknown', message: '' };
