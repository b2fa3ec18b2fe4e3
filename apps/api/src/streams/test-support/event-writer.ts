// Writes flows and their events for tests: as the store does, each commit numbering its events under the lock of the flow's row.
import { createKeys, type UpdatePublisher } from '@millrace/redis';
import { createFlows, publicEvent, type Database, type LoggedEvent } from '@millrace/store';

export const TEST_KEYS = createKeys(`{test-${process.pid}}`);
export const WORKSPACE = 'default';

export type EventWriter = {
  /** A new flow; its log begins with flow.queued and phase.queued. */
  newFlow(): Promise<string>;
  /** Commits events without announcing them. */
  append(flowId: string, types: readonly string[], data?: Record<string, unknown>): Promise<LoggedEvent[]>;
  /** Commits events and rings the doorbell. */
  publish(flowId: string, types: readonly string[], data?: Record<string, unknown>): Promise<LoggedEvent[]>;
  announce(events: readonly LoggedEvent[]): Promise<void>;
  setStatus(flowId: string, status: string): Promise<void>;
};

export function createEventWriter({ database, updates }: { database: Database; updates: UpdatePublisher }): EventWriter {
  const append: EventWriter['append'] = (flowId, types, data = {}) =>
    database.transaction(async (client) => {
      const numbered = await client.query<{ last: number }>(
        'UPDATE millrace.flows SET seq_last = seq_last + $2 WHERE id = $1 RETURNING seq_last AS last',
        [flowId, types.length],
      );
      const before = (numbered.rows[0]?.last ?? 0) - types.length;
      const written = await client.query<LoggedEvent>(
        `INSERT INTO millrace.events (subject_id, seq, workspace, type, phase, at, data)
         SELECT $1, $2 + position, $3, type, CASE WHEN type LIKE 'phase.%' THEN 'only' END, clock_timestamp(), $5 FROM unnest($4::text[]) WITH ORDINALITY AS t (type, position)
         RETURNING subject_id AS "subjectId", seq, workspace, type, phase, at, data`,
        [flowId, before, WORKSPACE, types, data],
      );
      return written.rows;
    });
  const announce: EventWriter['announce'] = async (events) => {
    const [first] = events;
    if (first === undefined) return;
    await updates.publishEvents([
      { workspace: WORKSPACE, subjectId: first.subjectId, json: JSON.stringify(events.map((event) => publicEvent(event))) },
    ]);
  };
  return {
    newFlow: async () => {
      const [created] = await createFlows(database.hot, [
        {
          workspace: WORKSPACE,
          createdBy: 'test',
          name: 'test',
          version: 1,
          inputJson: '{}',
          tags: {},
          priority: 50,
          runAt: null,
          idempotency: null,
          dispatch: false,
          phases: [{ name: 'only', needs: [], dependants: [], attemptMax: 1, signal: null, waitTimeoutMs: null }],
          respond: () => ({ status: 202, body: {} }),
        },
      ]);
      if (created?.kind !== 'created') throw new Error('no flow was created');
      return created.flowId;
    },
    append,
    announce,
    publish: async (flowId, types, data) => {
      const events = await append(flowId, types, data);
      await announce(events);
      return events;
    },
    setStatus: async (flowId, status) => {
      await database.main.query('/* forged */ UPDATE millrace.flows SET status = $2 WHERE id = $1', [flowId, status]);
    },
  };
}
