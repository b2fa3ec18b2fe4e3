// Writes accepted flows: concurrent requests are combined into one statement, and what became ready is handed to the dispatcher
// after the commit. A request that was answered meanwhile (its deadline passed) is not written any more.
import { AppError, type Dispatch } from '@millrace/shared';
import { createMicroBatcher } from '@millrace/process';
import {
  asAppError,
  isDataFault,
  type CreatedFlow,
  type DedupedFlow,
  type DedupedOutcome,
  type LoggedEvent,
  type NewFlow,
  type StartedFlow,
} from '@millrace/store';
import type { FlowDraft } from './accept-flow.ts';

export type FlowDispatch = {
  /** Fire and forget: what does not arrive is repaired by the workers. */
  send(dispatches: Dispatch[]): void;
  /** How many ready phases may go to Redis at once; others stay in the backlog, where the most urgent are found first. */
  room(): number;
  /** Tells the workers that something waits in PostgreSQL. */
  ring(what: 'admissions' | 'backlog'): void;
};

export type FlowOrder = { draft: FlowDraft; idempotency: NewFlow['idempotency'] };

export type FlowIntake = {
  /** One flow, combined with those of other requests. @throws AppError dependency-unavailable, idempotency-in-progress */
  createOne(order: FlowOrder, isAbandoned: () => boolean): Promise<StartedFlow>;
  /** Many flows of one request in order, in slices. @throws AppError like createOne; slices before the failure are kept */
  createMany(orders: readonly FlowOrder[], isAbandoned: () => boolean): Promise<StartedFlow[]>;
  /** Settles when everything taken in has been written. */
  drain(): Promise<void>;
};

export type FlowIntakeDeps = {
  createFlows(flows: readonly NewFlow[]): Promise<CreatedFlow[]>;
  /** For those with a dedupe key, which go another way. */
  createDedupedFlows(flows: readonly DedupedFlow[]): Promise<DedupedOutcome>;
  /** Tells watchers what happened to flows that were replaced. */
  announce(events: readonly LoggedEvent[]): void;
  dispatch: FlowDispatch;
  metrics: { batchWritten(flowCount: number): void; flowsAccepted(flowCount: number): void };
};

const BATCH_MAX = 500;
/** Phases of one statement; a wider flow goes alone. Keeps a statement of wide flows within its time limit. */
const PHASES_PER_STATEMENT_MAX = 20_000;
/** Inputs of one statement in characters; a larger one goes alone. Bounds what one statement takes in memory here and in the server. */
const INPUTS_PER_STATEMENT_MAX = 8 * 1024 * 1024;
/** So many full statements may wait. */
const STATEMENTS_PENDING_MAX = 16;
const IN_FLIGHT_MAX = 4;
/** Each is a transaction that may wait for another start of the same key: they must not take the connections that reads need. */
const DEDUPED_IN_FLIGHT_MAX = 2;
/** A statement for ten flows costs nearly what one for fifty does. One that takes longer than the wait is held up, and holds nobody else up. */
const BESIDE = { itemsMin: 24, waitMsMax: 25 };
const PENDING_MAX = 10_000;

type Item = FlowOrder & { isAbandoned(): boolean };

export function createFlowIntake(deps: FlowIntakeDeps): FlowIntake {
  const plain = createBatcher((orders) => writePlain(deps, orders), IN_FLIGHT_MAX);
  const deduped = createBatcher((orders) => writeDeduped(deps, orders), DEDUPED_IN_FLIGHT_MAX);
  return {
    createOne: ({ draft, idempotency }, isAbandoned) =>
      (draft.dedupe === undefined ? plain : deduped).add({ draft, idempotency, isAbandoned }).then(required, refused),
    createMany: async (orders, isAbandoned) => {
      const started: StartedFlow[] = [];
      for (const slice of slicesOf(orders)) {
        if (isAbandoned()) throw new AppError('dependency-unavailable');
        started.push(...(await writeBoth(deps, slice)));
      }
      return started;
    },
    drain: async () => {
      await Promise.all([plain.drain(), deduped.drain()]);
    },
  };
}

function required(started: StartedFlow | undefined): StartedFlow {
  if (started === undefined) throw new AppError('dependency-unavailable');
  return started;
}

function refused(error: unknown): never {
  throw error instanceof Error && error.message.includes('items wait') ? overloaded(error) : error;
}

type Write = (orders: readonly FlowOrder[]) => Promise<StartedFlow[]>;

function createBatcher(write: Write, inFlightMax: number) {
  return createMicroBatcher<Item, StartedFlow | undefined>({
    batchMax: BATCH_MAX,
    inFlightMax,
    beside: BESIDE,
    pendingMax: PENDING_MAX,
    // A batch must be one statement: what is sent again because of a bad item must not be committed in part.
    weigh: ({ draft }) => shareOf(draft),
    weightMax: 1,
    pendingWeightMax: STATEMENTS_PENDING_MAX,
    isItemFault: isDataFault,
    send: (items) => sendBatch(items, write),
  });
}

async function writePlain(deps: FlowIntakeDeps, orders: readonly FlowOrder[]): Promise<CreatedFlow[]> {
  const direct = fittingFirst(orders, deps.dispatch.room());
  const created = await deps
    .createFlows(orders.map(({ draft, idempotency }, index) => ({ ...draft, idempotency, dispatch: direct[index] ?? false })))
    .catch(rethrow);
  written(deps, orders, created);
  return created;
}

async function writeDeduped(deps: FlowIntakeDeps, orders: readonly FlowOrder[]): Promise<StartedFlow[]> {
  const direct = fittingFirst(orders, deps.dispatch.room());
  const flows = orders.flatMap(({ draft: { dedupe, ...draft }, idempotency }, index) =>
    dedupe === undefined ? [] : [{ ...draft, dedupe, idempotency, dispatch: direct[index] ?? false }],
  );
  const { started, events } = await deps.createDedupedFlows(flows).catch(rethrow);
  if (events.length > 0) deps.announce(events);
  written(deps, orders, started);
  return started;
}

/** Which orders may be dispatched at once: the first ones, as far as their ready phases find room. */
function fittingFirst(orders: readonly FlowOrder[], room: number): boolean[] {
  let left = room;
  return orders.map(({ draft }) => {
    const fits = left > 0;
    if (fits) left -= draft.phases.filter(({ needs }) => needs.length === 0).length;
    return fits;
  });
}

function rethrow(error: unknown): never {
  throw asAppError(error);
}

function written(deps: FlowIntakeDeps, orders: readonly FlowOrder[], started: readonly StartedFlow[]): void {
  deps.metrics.batchWritten(started.length);
  deps.metrics.flowsAccepted(started.filter((flow) => flow.kind === 'created').length);
  const dispatches = started.flatMap((flow) => (flow.kind === 'created' ? flow.dispatches : []));
  if (dispatches.length > 0) deps.dispatch.send(dispatches);
  const left = orders.flatMap(({ draft }, index) => leftWaiting(draft, started[index]));
  for (const what of new Set(left)) deps.dispatch.ring(what);
}

/** What the workers have to look for, because a new flow's ready phases were not all dispatched. */
function leftWaiting({ phases, extras, runAt }: FlowDraft, started: StartedFlow | undefined): ('admissions' | 'backlog')[] {
  if (started?.kind !== 'created' || runAt !== null) return [];
  if (extras?.concurrency !== undefined) return ['admissions'];
  const ready = phases.filter((phase) => phase.needs.length === 0 && phase.signal === null);
  const free = ready.filter((phase) => (phase.rateKey ?? null) === null).length;
  return [...(free < ready.length ? ['admissions' as const] : []), ...(started.dispatches.length < free ? ['backlog' as const] : [])];
}

// Each kind keeps its order; between the two kinds there is none to keep.
async function writeBoth(deps: FlowIntakeDeps, orders: readonly FlowOrder[]): Promise<StartedFlow[]> {
  const plain = orders.filter(({ draft }) => draft.dedupe === undefined);
  if (plain.length === orders.length) return writePlain(deps, orders);
  const started = new Map<FlowOrder, StartedFlow>();
  const note = (some: readonly FlowOrder[], outcomes: readonly StartedFlow[]) => {
    for (const [index, outcome] of outcomes.entries()) if (some[index] !== undefined) started.set(some[index], outcome);
  };
  if (plain.length > 0) note(plain, await writePlain(deps, plain));
  const deduped = orders.filter(({ draft }) => draft.dedupe !== undefined);
  note(deduped, await writeDeduped(deps, deduped));
  return orders.flatMap((order) => started.get(order) ?? []);
}

// Abandoned items take no part; what they resolve to is read by nobody.
async function sendBatch(items: readonly Item[], write: Write): Promise<(StartedFlow | undefined)[]> {
  const wanted = items.filter((item) => !item.isAbandoned());
  const created = new Map<Item, StartedFlow>();
  const outcomes = wanted.length === 0 ? [] : await write(wanted);
  for (const [index, item] of wanted.entries()) {
    const outcome = outcomes[index];
    if (outcome !== undefined) created.set(item, outcome);
  }
  return items.map((item) => created.get(item));
}

type Sized = { phases: readonly unknown[]; inputJson: string };

/** How much of a statement's room a flow takes, at most. */
function shareOf({ phases, inputJson }: Sized): number {
  return phases.length / PHASES_PER_STATEMENT_MAX + inputJson.length / INPUTS_PER_STATEMENT_MAX;
}

/** Cuts orders into runs that fit one statement, in order. */
export function slicesOf<Order extends { draft: Sized }>(orders: readonly Order[]): Order[][] {
  const slices: Order[][] = [];
  let current: Order[] = [];
  let share = 0;
  for (const order of orders) {
    share += shareOf(order.draft);
    if (current.length > 0 && (share > 1 || current.length >= BATCH_MAX)) {
      slices.push(current);
      current = [];
      share = shareOf(order.draft);
    }
    current.push(order);
  }
  if (current.length > 0) slices.push(current);
  return slices;
}

function overloaded(cause: Error): AppError {
  return new AppError(
    'dependency-unavailable',
    { detail: 'More requests wait than can be written in time.', retryAfterSeconds: 1 },
    { cause },
  );
}
