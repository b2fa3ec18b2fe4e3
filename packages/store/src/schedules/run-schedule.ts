// Starts a flow of a schedule because somebody asked for one now, paused or not and whatever else of it runs.
import { newId } from '@millrace/shared';
import type { Database } from '../database.ts';
import { createFlows, type CreatedFlow, type NewFlow } from '../flows/create-flows.ts';
import type { ScheduleTarget } from './read-schedules.ts';

/** @param flow made from the schedule's flow, input and tags; @throws AppError idempotency-in-progress */
export async function runSchedule(
  database: Pick<Database, 'transaction'>,
  target: ScheduleTarget,
  flow: NewFlow,
): Promise<CreatedFlow | { kind: 'not-found' }> {
  return database.transaction(async (client) => {
    const locked = await client.query({
      name: 'lock-schedule-to-run',
      text: 'SELECT id FROM millrace.schedules WHERE id = $1 AND workspace = $2 FOR UPDATE',
      values: [target.scheduleId, target.workspace],
    });
    if (locked.rowCount !== 1) return { kind: 'not-found' };
    const [created] = await createFlows(client, [{ ...flow, extras: { ...flow.extras, scheduleId: target.scheduleId } }]);
    if (created === undefined) throw new Error('the flow was not answered');
    if (created.kind !== 'created') return created;
    await client.query({
      name: 'record-manual-fire',
      text: `
WITH fired AS (
  INSERT INTO millrace.schedule_fires (id, schedule_id, workspace, trigger, due_at, fired_at, outcome, flow_id)
  VALUES ($3, $1, $2, 'manual', now(), now(), 'started', $4) RETURNING schedule_id, flow_id, due_at
)
UPDATE millrace.schedules s SET last_flow_id = f.flow_id, last_due_at = f.due_at, last_fired_at = now() FROM fired f WHERE s.id = f.schedule_id`,
      values: [target.scheduleId, target.workspace, newId(), created.flowId],
    });
    return created;
  });
}
