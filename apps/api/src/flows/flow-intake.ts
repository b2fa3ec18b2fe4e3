// Writes accepted flows: concurrent requests are combined into one statement, and what became ready is handed to the dispatcher
// after the commit. A request that was answered meanwhile (its deadline passed) is not written any more.
import { AppError, type Dispatch } from '@millrace/shared';
import { createMicroBatcher } from '@millrace/process';
import { asAppError, isDataFault, type CreatedFlow, type NewFlow } from '@millrace/store';
import type { FlowDraft } from './accept-flow.ts';

export type FlowDispatch = {
  /** Fire and forget: what does not arrive is repaired by the workers. */
  send(dispatches: Dispatch[]): void;
  /** Whether ready phases may go to Redis at once; otherwise they stay in the backlog. */
  hasRoom(): boolean;
};

export type FlowOrder = { draft: FlowDraft; idempotency: NewFlow['idempotency'] };

export type FlowIntake = {
  /** One flow, combined with those of other requests. @throws AppError dependency-unavailable, idempotency-in-progress */
  createOne(order: FlowOrder, isAbandoned: () => boolean): Promise<CreatedFlow>;
  /** Many flows of one request in order, in slices. @throws AppError like createOne; slices before the failure are kept */
  createMany(orders: readonly FlowOrder[], isAbandoned: () => boolean): Promise<CreatedFlow[]>;
  /** Settles when everything taken in has been written. */
  drain(): Promise<void>;
};

export type FlowIntakeDeps = {
  createFlows(flows: readonly NewFlow[]): Promise<CreatedFlow[]>;
  dispatch: FlowDispatch;
  metrics: { batchWritten(flowCount: number): void; flowsAccepted(flowCount: number): void };
};

const BATCH_MAX = 500;
/** Phases of one statement; a wider flow goes alone. Keeps a statement of wide flows within its time limit. */
const PHASES_PER_STATEMENT_MAX = 20_000;
const IN_FLIGHT_MAX = 4;
const PENDING_MAX = 10_000;

type Item = FlowOrder & { isAbandoned(): boolean };

export function createFlowIntake(deps: FlowIntakeDeps): FlowIntake {
  const write = async (orders: readonly FlowOrder[]): Promise<CreatedFlow[]> => {
    const dispatch = deps.dispatch.hasRoom();
    const created = await deps
      .createFlows(orders.map(({ draft, idempotency }) => ({ ...draft, idempotency, dispatch })))
      .catch((error: unknown) => {
        throw asAppError(error);
      });
    deps.metrics.batchWritten(orders.length);
    deps.metrics.flowsAccepted(created.filter((flow) => flow.kind === 'created').length);
    const dispatches = created.flatMap((flow) => (flow.kind === 'created' ? flow.dispatches : []));
    if (dispatches.length > 0) deps.dispatch.send(dispatches);
    return created;
  };
  const batcher = createMicroBatcher<Item, CreatedFlow | undefined>({
    batchMax: BATCH_MAX,
    inFlightMax: IN_FLIGHT_MAX,
    pendingMax: PENDING_MAX,
    isItemFault: isDataFault,
    send: (items) => sendBatch(items, write),
  });
  return {
    createOne: async (order, isAbandoned) => {
      const created = await batcher.add({ ...order, isAbandoned }).catch((error: unknown) => {
        throw error instanceof Error && error.message.includes('items wait') ? overloaded(error) : error;
      });
      if (created === undefined) throw new AppError('dependency-unavailable');
      return created;
    },
    createMany: async (orders, isAbandoned) => {
      const created: CreatedFlow[] = [];
      for (const slice of slicesOf(orders)) {
        if (isAbandoned()) throw new AppError('dependency-unavailable');
        created.push(...(await write(slice)));
      }
      return created;
    },
    drain: () => batcher.drain(),
  };
}

// Abandoned items take no part; what they resolve to is read by nobody.
async function sendBatch(
  items: readonly Item[],
  write: (orders: readonly FlowOrder[]) => Promise<CreatedFlow[]>,
): Promise<(CreatedFlow | undefined)[]> {
  const wanted = items.filter((item) => !item.isAbandoned());
  const created = new Map<Item, CreatedFlow>();
  for (const slice of slicesOf(wanted)) {
    const outcomes = await write(slice);
    for (const [index, item] of slice.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined) created.set(item, outcome);
    }
  }
  return items.map((item) => created.get(item));
}

/** Cuts orders into runs that fit one statement, in order. */
export function slicesOf<Order extends { draft: { phases: readonly unknown[] } }>(orders: readonly Order[]): Order[][] {
  const slices: Order[][] = [];
  let current: Order[] = [];
  let phaseCount = 0;
  for (const order of orders) {
    const full = current.length >= BATCH_MAX || phaseCount + order.draft.phases.length > PHASES_PER_STATEMENT_MAX;
    if (full && current.length > 0) {
      slices.push(current);
      current = [];
      phaseCount = 0;
    }
    current.push(order);
    phaseCount += order.draft.phases.length;
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
