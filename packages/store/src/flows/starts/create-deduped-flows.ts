// Starts of flows that were given a dedupe key: in order, in one transaction of their own, so that those without one pay nothing for it.
// Correct at any concurrency because every start of a key holds the key's row until it commits.
import type { DedupeMode, FlowStatus } from '@millrace/shared';
import type { Database, Queryable } from '../../database.ts';
import { LOGGED_EVENT_JSON, type LoggedEvent } from '../../events/logged-event.ts';
import { readKeptAnswer } from '../../imports/idempotency.ts';
import { createFlows, type CreatedFlow, type NewFlow } from '../create-flows.ts';
import {
  keepAnswers,
  lockDedupeKeys,
  moveDedupeKeys,
  scopeText,
  takeIdempotencyKeys,
  type DedupeScope,
  type HoldingFlow,
} from './dedupe-keys.ts';
import { decideStart, type KeyHolder } from './dedupe-rule.ts';

type Answer = { status: number; body: unknown };

export type Dedupe = {
  key: string;
  mode: DedupeMode;
  /** For mode window, in milliseconds; otherwise null. */
  windowMs: number | null;
  /** Makes the answer that names the flow which was there before. */
  respondExisting(existing: { id: string; version: number; status: FlowStatus }): Answer;
};

export type DedupedFlow = NewFlow & { dedupe: Dedupe };

export type StartedFlow =
  | CreatedFlow
  /** Nothing was started: this flow has the key. */
  | ({ kind: 'deduplicated'; flowId: string } & Answer)
  /** Refused: this flow has the key. */
  | { kind: 'duplicate'; flowId: string };

/** `events`: of the flows that were replaced. */
export type DedupedOutcome = { started: StartedFlow[]; events: LoggedEvent[] };

/** A transaction of an application may hold a key as long as it likes; nobody here waits for it longer than this. */
const LOCK_WAIT_MS = 2_000;

/**
 * Starts flows in one transaction. Answers one outcome per flow in order; what comes later in the order finds what came earlier.
 * @throws AppError dependency-unavailable when another transaction holds one of the keys too long
 */
export async function createDedupedFlows(
  database: Pick<Database, 'transaction' | 'main'>,
  flows: readonly DedupedFlow[],
): Promise<DedupedOutcome> {
  const firsts = firstUses(flows);
  const first = flows.filter((_, index) => firsts[index] === index);
  const { outcomes, events } = await database.transaction(async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
    return startAll(client, first);
  });
  const started = flows.map(async (flow, index) => {
    const first = flows[firsts[index] ?? index];
    return outcomes.get(flow) ?? replay(database.main, flow, { flow: first, outcome: first && outcomes.get(first) });
  });
  return { started: await Promise.all(started), events };
}

// For each flow the index of the first that has its idempotency key.
function firstUses(flows: readonly DedupedFlow[]): number[] {
  const seen = new Map<string, number>();
  return flows.map(({ workspace, idempotency }, index) => {
    if (idempotency === null) return index;
    const scope = JSON.stringify([workspace, idempotency.route, idempotency.key]);
    const first = seen.get(scope) ?? index;
    seen.set(scope, first);
    return first;
  });
}

// A flow whose idempotency key was taken: before, or by an earlier one of the same call, which may have been refused without keeping it.
async function replay(
  on: Queryable,
  { workspace, idempotency }: DedupedFlow,
  first: { flow: DedupedFlow | undefined; outcome: StartedFlow | undefined },
): Promise<StartedFlow> {
  if (idempotency === null) throw new Error('a flow without idempotency key was not started');
  if (first.outcome?.kind !== 'duplicate') return readKeptAnswer(on, workspace, idempotency);
  return first.flow?.idempotency?.bodyHash.equals(idempotency.bodyHash) === true ? first.outcome : { kind: 'key-reused' };
}

type Outcomes = { outcomes: Map<DedupedFlow, StartedFlow>; events: LoggedEvent[] };

async function startAll(client: Queryable, flows: readonly DedupedFlow[]): Promise<Outcomes> {
  const open = await withoutReplays(client, flows);
  if (open.length === 0) return { outcomes: new Map(), events: [] };
  const replacing = new Set(open.filter((flow) => flow.dedupe.mode === 'replace').map((flow) => scopeText(scopeOf(flow))));
  const holders = await lockDedupeKeys(client, open.map(scopeOf), replacing);
  const decided = decideAll(open, holders);
  const created = await createdBy(
    client,
    decided.filter((one) => one.kind === 'create').map((one) => one.flow),
  );
  const flowOf = (holder: Holder): HoldingFlow => ('flow' in holder ? heldBy(holder, created) : holder);
  const replaced = decided.flatMap((one) =>
    one.kind === 'create' && one.replaces !== undefined ? [{ flow: one.flow, id: flowOf(one.replaces).id }] : [],
  );
  const events = await cancelReplaced(
    client,
    replaced.map(({ flow, id }) => ({ id, byId: idOf(created, flow), actor: flow.createdBy })),
  );
  await moveDedupeKeys(client, movedKeys(created));
  const gone = new Set(replaced.map(({ id }) => id));
  const outcomes = new Map(
    decided.map((one) => [
      one.flow,
      one.kind === 'create' ? createdOutcome(created, one.flow, gone) : foundOutcome(one, flowOf(one.holder)),
    ]),
  );
  await keepAnswers(client, keptAnswers(outcomes));
  return { outcomes, events };
}

async function withoutReplays(client: Queryable, flows: readonly DedupedFlow[]): Promise<DedupedFlow[]> {
  const keyed = flows.flatMap((flow) =>
    flow.idempotency === null ? [] : [{ flow, workspace: flow.workspace, idempotency: flow.idempotency }],
  );
  const free = await takeIdempotencyKeys(client, keyed);
  const replays = new Set(keyed.filter((_, index) => free[index] !== true).map(({ flow }) => flow));
  return flows.filter((flow) => !replays.has(flow));
}

/** A flow that is there, or one of this call that will be. */
type Holder = HoldingFlow | (KeyHolder & { flow: DedupedFlow });

type Decided =
  { kind: 'create'; flow: DedupedFlow; replaces?: Holder } | { kind: 'existing' | 'duplicate'; flow: DedupedFlow; holder: Holder };

function decideAll(flows: readonly DedupedFlow[], found: ReadonlyMap<string, HoldingFlow>): Decided[] {
  const holders = new Map<string, Holder>(found);
  return flows.map((flow): Decided => {
    const scope = scopeText(scopeOf(flow));
    const holder = holders.get(scope);
    const decision = decideStart(flow.dedupe, holder);
    if (holder !== undefined && (decision === 'existing' || decision === 'duplicate')) return { kind: decision, flow, holder };
    holders.set(scope, { flow, status: 'queued', started: false, ageMs: 0 });
    return decision === 'replace' && holder !== undefined ? { kind: 'create', flow, replaces: holder } : { kind: 'create', flow };
  });
}

type Created = Extract<CreatedFlow, { kind: 'created' }>;

async function createdBy(client: Queryable, flows: readonly DedupedFlow[]): Promise<Map<DedupedFlow, Created>> {
  const made = await createFlows(
    client,
    flows.map((flow) => ({ ...flow, idempotency: null })),
  );
  return new Map(
    made.map((one, index) => {
      const flow = flows[index];
      if (flow === undefined || one.kind !== 'created') throw new Error('a flow that nothing stood against was not created');
      return [flow, one];
    }),
  );
}

function idOf(created: ReadonlyMap<DedupedFlow, Created>, flow: DedupedFlow): string {
  const made = created.get(flow);
  if (made === undefined) throw new Error('a flow is named before it was created');
  return made.flowId;
}

function heldBy(holder: KeyHolder & { flow: DedupedFlow }, created: ReadonlyMap<DedupedFlow, Created>): HoldingFlow {
  return { ...holder, id: idOf(created, holder.flow), version: holder.flow.version };
}

async function cancelReplaced(client: Queryable, replaced: readonly { id: string; byId: string; actor: string }[]): Promise<LoggedEvent[]> {
  if (replaced.length === 0) return [];
  const result = await client.query<{ event: LoggedEvent }>({
    name: 'cancel-replaced',
    text: `SELECT ${LOGGED_EVENT_JSON} AS event FROM millrace.cancel_replaced($1::uuid[], $2::uuid[], $3::text[])`,
    values: [replaced.map(({ id }) => id), replaced.map(({ byId }) => byId), replaced.map(({ actor }) => actor)],
  });
  return result.rows.map((row) => row.event);
}

// The last flow that was created under each key.
function movedKeys(created: ReadonlyMap<DedupedFlow, Created>): (DedupeScope & { flowId: string })[] {
  const byKey = new Map([...created].map(([flow, { flowId }]) => [scopeText(scopeOf(flow)), { ...scopeOf(flow), flowId }]));
  return [...byKey.values()];
}

function createdOutcome(created: ReadonlyMap<DedupedFlow, Created>, flow: DedupedFlow, replaced: ReadonlySet<string>): StartedFlow {
  const made = created.get(flow);
  if (made === undefined) throw new Error('a flow that was to be created is missing');
  return replaced.has(made.flowId) ? { ...made, dispatches: [] } : made;
}

function foundOutcome({ kind, flow }: Extract<Decided, { holder: Holder }>, holder: HoldingFlow): StartedFlow {
  if (kind === 'duplicate') return { kind, flowId: holder.id };
  return { kind: 'deduplicated', flowId: holder.id, ...flow.dedupe.respondExisting(holder) };
}

function keptAnswers(outcomes: ReadonlyMap<DedupedFlow, StartedFlow>) {
  return [...outcomes].flatMap(([{ workspace, idempotency }, outcome]) =>
    idempotency === null ? [] : [{ workspace, idempotency, answer: 'body' in outcome ? outcome : null }],
  );
}

function scopeOf({ workspace, name, dedupe }: DedupedFlow): DedupeScope {
  return { workspace, flow: name, key: dedupe.key };
}
