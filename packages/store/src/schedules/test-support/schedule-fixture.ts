// What tests of schedules need: a database of their own, schedules of any kind, and time that has passed without waiting for it.
import { createStoreFixture, type StoreFixture } from '../../test-support/store-fixture.ts';
import { cancelFlow } from '../../flows/cancel-flow.ts';
import { createSchedule, type NewSchedule } from '../create-schedule.ts';
import { fireDue, type FirePass } from '../fire-due.ts';
import { startQueued } from '../start-queued.ts';
import type { FireOptions, ScheduledPlan } from '../scheduled-flow.ts';

export type ScheduleRow = { next_at: Date | null; missed_count: number; last_flow_id: string | null; pause: unknown };
export type FireRow = {
  due_at: Date;
  outcome: string;
  count: number;
  flow_id: string | null;
  fired_at: Date | null;
  reason: string | null;
  trigger: string;
};

export type ScheduleFixture = StoreFixture & {
  /** Makes a schedule of a flow of one phase and answers its id. */
  schedule(changes?: Partial<NewSchedule>): Promise<string>;
  /** Sets the next time back (or ahead), as if nobody had looked since. SQL of an interval. */
  dueSince(id: string, ago: string): Promise<void>;
  /** Passes until nothing is left to do, as one process would. */
  fireAll(options?: Partial<FireOptions>): Promise<FirePass['fires']>;
  startWaiting(options?: Partial<FireOptions>): Promise<FirePass['fires']>;
  row(id: string): Promise<ScheduleRow>;
  /** In order of time. */
  fires(id: string): Promise<FireRow[]>;
  outcomes(id: string): Promise<string[]>;
  /** Ids of its flows, the oldest first. */
  flowsOf(id: string): Promise<string[]>;
  end(flowId: string): Promise<void>;
};

export const onePhase = (name = 'only'): ScheduledPlan & { kind: 'planned' } => ({
  kind: 'planned',
  version: 1,
  phases: [{ name, needs: [], dependants: [], attemptMax: 1, signal: null, waitTimeoutMs: null }],
  timeoutMs: null,
  expiresInMs: null,
});

export const OPTIONS: FireOptions = { knownFlows: ['shape'], plan: () => onePhase() };

/** An hour that is neither now nor soon, so that no time of it comes while a test runs. */
export const quietHour = () => (new Date().getUTCHours() + 12) % 24;

export async function createScheduleFixture(): Promise<ScheduleFixture> {
  const store = await createStoreFixture();
  const { database, sql } = store;
  let made = 0;
  const fires = (id: string) =>
    sql<FireRow>(
      'SELECT trigger, due_at, fired_at, outcome, count, flow_id, reason FROM millrace.schedule_fires WHERE schedule_id = $1 ORDER BY due_at',
      [id],
    );
  const untilDone = async (pass: () => Promise<FirePass>) => {
    const all: FirePass['fires'] = [];
    for (let more = true; more;) {
      const done = await pass();
      all.push(...done.fires);
      more = done.more;
    }
    return all;
  };
  return {
    ...store,
    fires,
    schedule: async (changes = {}) => {
      made += 1;
      const created = await createSchedule(database, { ...newSchedule(`schedule ${made}`), ...changes });
      if (created.kind !== 'created') throw new Error(`the schedule was ${created.kind}`);
      return (created.body as { id: string }).id;
    },
    dueSince: async (id, ago) => {
      await sql("UPDATE millrace.schedules SET next_at = date_trunc('second', now() - $2::interval) WHERE id = $1", [id, ago]);
    },
    fireAll: (options = {}) => untilDone(() => fireDue(database, { ...OPTIONS, ...options })),
    startWaiting: (options = {}) => untilDone(() => startQueued(database, { ...OPTIONS, ...options })),
    row: async (id) => {
      const [row] = await sql<ScheduleRow>('SELECT * FROM millrace.schedules WHERE id = $1', [id]);
      if (row === undefined) throw new Error(`there is no schedule ${id}`);
      return row;
    },
    outcomes: async (id) => (await fires(id)).map(({ outcome }) => outcome),
    flowsOf: async (id) =>
      (await sql<{ id: string }>('SELECT id FROM millrace.flows WHERE schedule_id = $1 ORDER BY id', [id])).map((row) => row.id),
    end: async (flowId) => {
      await cancelFlow(database, { flowId, workspace: 'default', by: 'test' });
    },
  };
}

/** Daily, at an hour that does not come while a test runs. */
export function newSchedule(name: string): NewSchedule {
  return {
    workspace: 'default',
    createdBy: 'test',
    name,
    flow: 'shape',
    inputJson: '{"n":1}',
    tags: { kind: 'nightly' },
    cron: `0 ${quietHour()} * * *`,
    timezone: 'UTC',
    overlap: 'allow',
    catchUp: 'none',
    idempotency: null,
    respond: ({ id }) => ({ status: 201, body: { id } }),
  };
}
