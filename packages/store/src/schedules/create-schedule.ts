// Makes a schedule, once per idempotency key and name.
import { AppError, newId, type CatchUpPolicy, type OverlapPolicy } from '@millrace/shared';
import type { Database, Queryable } from '../database.ts';
import { readKeptAnswer, takeKey, type IdempotencyKey, type KeptAnswer } from '../imports/idempotency.ts';
import { runAfter, type ReadSchedule, type StoredSchedule } from './stored-schedule.ts';

export type NewSchedule = {
  workspace: string;
  createdBy: string;
  name: string;
  flow: string;
  /** JSON text that was checked to be storable. */
  inputJson: string;
  tags: Readonly<Record<string, string>>;
  cron: string;
  timezone: string;
  overlap: OverlapPolicy;
  catchUp: CatchUpPolicy;
  idempotency: IdempotencyKey | null;
  /** Makes the answer that a replay of the idempotency key gets. */
  respond(schedule: ReadSchedule): { status: number; body: unknown };
};

export type CreatedSchedule = { kind: 'created'; status: number; body: unknown } | KeptAnswer;

/** Its first time is the first after now. @throws AppError already-exists, idempotency-in-progress */
export async function createSchedule(database: Pick<Database, 'transaction' | 'main'>, request: NewSchedule): Promise<CreatedSchedule> {
  const { workspace, idempotency } = request;
  const created = await database.transaction(async (client) => {
    const schedule = newSchedule(request, await transactionTime(client));
    const answer = request.respond(schedule);
    if (idempotency !== null && !(await takeKey(client, { workspace, idempotency, ...answer }))) return undefined;
    await insert(client, schedule, request.inputJson);
    return answer;
  });
  if (created !== undefined) return { kind: 'created', ...created };
  if (idempotency === null) throw new Error('a schedule without idempotency key was not inserted');
  return readKeptAnswer(database.main, workspace, idempotency);
}

/** The database's clock decides what has come: it is the same for every process. */
export async function transactionTime(on: Queryable): Promise<Date> {
  const result = await on.query<{ now: Date }>('SELECT now() AS now');
  const row = result.rows[0];
  if (row === undefined) throw new Error('the time was not returned');
  return row.now;
}

function newSchedule(request: NewSchedule, now: Date): ReadSchedule {
  return {
    id: newId(),
    workspace: request.workspace,
    name: request.name,
    flow: request.flow,
    tags: request.tags,
    cron: request.cron,
    timezone: request.timezone,
    input: JSON.parse(request.inputJson),
    overlap: request.overlap,
    catch_up: request.catchUp,
    next_at: runAfter(request, now),
    pause: null,
    missed_count: 0,
    last_flow_id: null,
    last_due_at: null,
    last_fired_at: null,
    last_status: null,
    created_by: request.createdBy,
    created_at: now,
  };
}

async function insert(on: Queryable, schedule: StoredSchedule, inputJson: string): Promise<void> {
  const result = await on.query({
    name: 'create-schedule',
    text: `
INSERT INTO millrace.schedules (id, workspace, name, flow, input, tags, cron, timezone, overlap, catch_up, next_at, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (workspace, name) DO NOTHING`,
    values: [
      schedule.id,
      schedule.workspace,
      schedule.name,
      schedule.flow,
      inputJson,
      JSON.stringify(schedule.tags),
      schedule.cron,
      schedule.timezone,
      schedule.overlap,
      schedule.catch_up,
      schedule.next_at,
      schedule.created_by,
      schedule.created_at,
    ],
  });
  if (result.rowCount !== 1) throw new AppError('already-exists', { detail: 'A schedule of this workspace has this name.' });
}
