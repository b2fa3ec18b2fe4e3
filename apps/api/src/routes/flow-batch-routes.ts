// Start many flows with one request. Each line stands and falls alone; they are written in slices like any other flows.
import { AppError, batchAnswerSchema, batchLineSchema, type AcceptedFlow, type BatchLineBody, type Principal } from '@millrace/shared';
import type { StartedFlow } from '@millrace/store';
import type { Logger } from '@millrace/process';
import type { FlowAcceptor } from '../flows/accept-flow.ts';
import type { FlowIntake, FlowOrder } from '../flows/flow-intake.ts';
import { duplicateError } from '../flows/flow-links.ts';
import { bodyHashOf, idempotencyKeyOf, isIdempotencyKey } from '../http/input/idempotency-key.ts';
import { validate } from '../http/input/validate.ts';
import { toProblem } from '../http/problem-response.ts';
import { defineRoute, type BatchLine, type Route } from '../http/route.ts';

export type FlowBatchRoutesDeps = { acceptor: FlowAcceptor; intake: FlowIntake; log: Logger };

const BATCH_SCOPE = 'POST /v1/flows/batch';
/** Phases that one batch may make in all, so that planning and writing them fits into the request's time. */
const BATCH_PHASES_MAX = 200_000;

type Line = { order: FlowOrder } | { error: unknown };
type Item = Pick<AcceptedFlow, 'id' | 'status' | 'deduplicated'> | { error: unknown };

export function flowBatchRoutes(deps: FlowBatchRoutesDeps): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/flows/batch',
      operationId: 'createFlowBatch',
      summary: 'Start up to 10,000 flows',
      description:
        'One result per line in order. With an Idempotency-Key the same batch can be sent again: lines that were accepted before are not started twice.',
      tag: 'Flows',
      headers: { 'Idempotency-Key': 'Optional; covers the whole batch. A line may carry its own `idempotencyKey` instead.' },
      body: { kind: 'batch', schema: batchLineSchema },
      responses: {
        202: {
          description: 'One result per line',
          schema: batchAnswerSchema,
          headers: { 'Idempotency-Replayed': '`true` when lines were accepted by an earlier request' },
        },
      },
      errors: ['idempotency-key-invalid', 'idempotency-key-reused'],
      handler: async (request) => {
        const key = idempotencyKeyOf(request.headers);
        const lines = toOrders({ lines: request.body, principal: request.principal, key }, deps);
        const orders = lines.flatMap((line) => ('order' in line ? [line.order] : []));
        const created = await createInOrder(orders, (some) => deps.intake.createMany(some, request.isAbandoned));
        const replayed = created.some((flow) => flow.kind === 'replayed');
        const items = toItems(lines, created).map((item) =>
          'error' in item ? { error: toProblem(item.error, { requestId: request.requestId, log: deps.log }) } : item,
        );
        return { status: 202, body: { items }, headers: replayed && key !== null ? { 'idempotency-replayed': 'true' } : {} };
      },
    }),
  ];
}

type Batch = { lines: readonly BatchLine[]; principal: Principal; key: string | null };

// The header's key stands for the whole body, and each accepted line is kept under it with its number (a key has no space, so none
// can be mistaken for another): a batch that was cut off half-way is completed when it is sent again.
function toOrders(batch: Batch, deps: FlowBatchRoutesDeps): Line[] {
  const wholeHash = batch.key === null ? null : bodyHashOf(batch.lines.map((line) => (line.ok ? line.value : null)));
  let phaseCount = 0;
  let sharedCount = 0;
  return batch.lines.map((line) => {
    try {
      if (!line.ok) throw line.error;
      const { idempotencyKey, ...body } = validate(batchLineSchema, line.value);
      const draft = deps.acceptor.accept(body, batch.principal);
      phaseCount += draft.phases.length;
      if (phaseCount > BATCH_PHASES_MAX)
        throw new AppError('payload-too-large', { detail: `A batch may start at most ${BATCH_PHASES_MAX} phases.` });
      const own = ownKey(idempotencyKey, body);
      if (own !== null || wholeHash === null) return { order: { draft, idempotency: own } };
      sharedCount += 1;
      return { order: { draft, idempotency: { route: BATCH_SCOPE, key: `${batch.key ?? ''} ${sharedCount}`, bodyHash: wholeHash } } };
    } catch (error) {
      return { error };
    }
  });
}

function ownKey(key: string | undefined, body: Omit<BatchLineBody, 'idempotencyKey'>): FlowOrder['idempotency'] {
  if (key === undefined) return null;
  if (!isIdempotencyKey(key)) throw new AppError('idempotency-key-invalid');
  return { route: BATCH_SCOPE, key, bodyHash: bodyHashOf(body) };
}

// The first line under the header's key is written before all others: when it says that the key stood for another body, nothing else is started.
async function createInOrder(
  orders: readonly FlowOrder[],
  create: (orders: readonly FlowOrder[]) => Promise<StartedFlow[]>,
): Promise<StartedFlow[]> {
  const witness = orders.findIndex((order) => isUnderSharedKey(order));
  if (witness === -1) return create(orders);
  const first = await create(orders.slice(witness, witness + 1));
  if (first[0]?.kind === 'key-reused') throw keyReused('Idempotency-Key');
  const others = await create(orders.toSpliced(witness, 1));
  return others.toSpliced(witness, 0, ...first);
}

function isUnderSharedKey(order: FlowOrder): boolean {
  return order.idempotency?.key.includes(' ') === true;
}

function keyReused(pointer: string): AppError {
  return new AppError('idempotency-key-reused', {
    errors: [{ pointer, code: 'idempotency-key-reused', message: 'It was used with another body.' }],
  });
}

function toItems(lines: readonly Line[], created: readonly StartedFlow[]): Item[] {
  let next = 0;
  return lines.map((line) => {
    if ('error' in line) return line;
    const flow = created[next];
    next += 1;
    if (flow === undefined || flow.kind === 'key-reused') return { error: keyReused('/idempotencyKey') };
    if (flow.kind === 'duplicate') return { error: duplicateError(flow.flowId) };
    const { id, status, deduplicated } = flow.body as AcceptedFlow;
    return { id, status, ...(deduplicated === true ? { deduplicated } : {}) };
  });
}
