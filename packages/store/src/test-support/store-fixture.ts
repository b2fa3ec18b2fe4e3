// What tests of flows need: a database of their own, flows of any shape, and short words for what workers do with them.
import { createHash } from 'node:crypto';
import { memberId, type Dispatch } from '@millrace/shared';
import { createTestDatabase } from '@millrace/testing';
import type { Database } from '../database.ts';
import { claimPhases, type ClaimedPhase, type ClaimOutcome } from '../flows/claim-phases.ts';
import { completePhases, type CompletionOutcome } from '../flows/complete-phases.ts';
import { createFlows, type NewFlow } from '../flows/create-flows.ts';

export type MadeFlow = { flowId: string; dispatches: Dispatch[]; phaseId(ordinal: number): string };

export type PhaseRow = {
  id: string;
  name: string;
  status: string;
  attempts: number;
  crashes: number;
  generation: number;
  fence: string;
  lease_owner: string | null;
  due_at: Date | null;
  dispatched: boolean;
  output: unknown;
  error: unknown;
  needs_open: number;
  finished_at: Date | null;
};
export type EventRow = { seq: number; type: string; phase: string | null; data: Record<string, unknown> };
export type FlowRow = {
  status: string;
  run: number;
  seq_last: number;
  phases_open: number;
  phases_failed: number;
  error: unknown;
  started_at: Date | null;
  finished_at: Date | null;
};

export type StoreFixture = {
  readonly url: string;
  readonly database: Database;
  /** Accepts one flow whose n-th phase needs those in `needs[n]`. */
  make(needs: readonly (readonly number[])[], changes?: Partial<NewFlow>): Promise<MadeFlow>;
  /** Claims phases at their present generation. @throws when one of them is not to be had. */
  claim(ids: readonly string[], lease?: { worker?: string; leaseMs?: number }): Promise<ClaimedPhase[]>;
  complete(phases: readonly ClaimedPhase[], output?: unknown, worker?: string): Promise<CompletionOutcome>;
  phase(id: string): Promise<PhaseRow>;
  flow(flowId: string): Promise<FlowRow>;
  events(flowId: string): Promise<EventRow[]>;
  /** Types of the events, `type phase`, having checked that they are numbered without a gap and as far as the flow's row says. */
  story(flowId: string): Promise<string[]>;
  sql<Row extends object>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
};

export const WORKER = 'worker-a';
export const LEASE_MS = 10_000;

/** A flow as the API would hand it over; the names of its phases are p0, p1, ... */
export function newFlow(needs: readonly (readonly number[])[], changes: Partial<NewFlow> = {}): NewFlow {
  const dependants = needs.map((): number[] => []);
  for (const [ordinal, list] of needs.entries()) for (const need of list) dependants[need]?.push(ordinal);
  return {
    workspace: 'default',
    createdBy: 'test',
    name: 'shape',
    version: 1,
    inputJson: '{"n":1}',
    tags: {},
    priority: 50,
    runAt: null,
    idempotency: null,
    dispatch: true,
    phases: needs.map((list, ordinal) => ({
      name: `p${ordinal}`,
      needs: list,
      dependants: dependants[ordinal] ?? [],
      attemptMax: 4,
      signal: null,
      waitTimeoutMs: null,
    })),
    respond: (flowId) => ({ status: 202, body: { id: flowId } }),
    ...changes,
  };
}

/** An Idempotency-Key as the API would hand it over. */
export function idempotencyKey(key: string, body = 'body'): NonNullable<NewFlow['idempotency']> {
  return { route: 'POST /v1/flows', key, bodyHash: createHash('sha256').update(body).digest() };
}

export async function createStoreFixture(): Promise<StoreFixture> {
  const { url, database, drop } = await createTestDatabase();
  const sql = async <Row extends object>(text: string, values: unknown[] = []) => (await database.main.query<Row>(text, values)).rows;
  const one = async <Row extends object>(text: string, id: string) => {
    const [row] = await sql<Row>(text, [id]);
    if (row === undefined) throw new Error(`there is no row for ${id}`);
    return row;
  };
  const events = (flowId: string) =>
    sql<EventRow>('SELECT seq, type, phase, data FROM millrace.events WHERE subject_id = $1 ORDER BY seq', [flowId]);
  const flow = (flowId: string) => one<FlowRow>('SELECT * FROM millrace.flows WHERE id = $1', flowId);
  return {
    url,
    database,
    sql,
    events,
    flow,
    make: async (needs, changes) => {
      const [made] = await createFlows(database.hot, [newFlow(needs, changes)]);
      if (made?.kind !== 'created') throw new Error(`the flow was ${made?.kind ?? 'not answered'}`);
      const { flowId, dispatches } = made;
      return { flowId, dispatches, phaseId: (ordinal) => memberId(flowId, ordinal) };
    },
    claim: async (ids, { worker = WORKER, leaseMs = LEASE_MS } = {}) => {
      const generations = await sql<{ id: string; generation: number }>(
        'SELECT id, generation FROM millrace.phases WHERE id = ANY($1::uuid[])',
        [ids],
      );
      const outcome = await claimPhases(
        database.hot,
        ids.map((id) => ({ id, generation: generations.find((row) => row.id === id)?.generation ?? -1 })),
        { worker, leaseMs },
      );
      return claimedOf(outcome);
    },
    complete: (phases, output = null, worker = WORKER) =>
      completePhases(
        database.hot,
        phases.map(({ id, fence }) => ({ id, fence, worker, outputJson: JSON.stringify(output) })),
        { dispatch: true },
      ),
    phase: (id) => one<PhaseRow>('SELECT * FROM millrace.phases WHERE id = $1', id),
    story: async (flowId) => {
      const [rows, { seq_last }] = [await events(flowId), await flow(flowId)];
      const gapFree = rows.every((row, index) => row.seq === index + 1) && rows.length === seq_last;
      if (!gapFree) throw new Error(`the events of ${flowId} are ${rows.map((row) => row.seq).join(',')}, its row says ${seq_last}`);
      return rows.map((row) => (row.phase === null ? row.type : `${row.type} ${row.phase}`));
    },
    close: drop,
  };
}

/** @throws when a delivery was not claimed. */
export function claimedOf(outcome: ClaimOutcome): ClaimedPhase[] {
  return outcome.results.map((result) => {
    if (result.kind !== 'claimed') throw new Error(`a phase was not claimed: ${result.kind}`);
    return result.phase;
  });
}
