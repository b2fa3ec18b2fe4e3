// Start many flows with one request. Each line stands and falls alone; they are written in slices like any other flows.
import { AppError, batchAnswerSchema, batchLineSchema, type AcceptedFlow, type BatchLineBody, type Principal } from '@millrace/shared';
import type { KeptStart, StartedFlow, StartKey } from '@millrace/store';
import type { Logger } from '@millrace/process';
import type { FlowAcceptor } from '../flows/accept-flow.ts';
import type { FlowIntake, FlowOrder } from '../flows/flow-intake.ts';
import { duplicateError } from '../flows/flow-links.ts';
import { bodyHashOf, idempotencyKeyOf, isIdempotencyKey } from '../http/input/idempotency-key.ts';
import { validate } from '../http/input/validate.ts';
import { toProblem } from '../http/problem-response.ts';
import { defineRoute, type BatchLine, type Route } from '../http/route.ts';
import type { KeptStartReader } from './flow-routes.ts';

export type FlowBatchRoutesDeps = {
  acceptor: FlowAcceptor;
  intake: FlowIntake;
  readKept: KeptStartReader;
  /** Takes the key of a batch. False when it stands for another body. */
  standsForBody(workspace: string, key: StartKey): Promise<boolean>;
  log: Logger;
};

const BATCH_SCOPE = 'POST /v1/flows/batch';
/** Phases that one batch may make in all, so that planning and writing them fits into the request's time. */
const BATCH_PHASES_MAX = 200_000;

/** `key`: under which the line may have been accepted before. */
type Line = { order: FlowOrder } | { error: unknown; key: StartKey | null } | { kept: KeptStart };
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
        const { principal } = request;
        const key = batchKeyOf(idempotencyKeyOf(request.headers), request.body);
        if (key !== null && !(await deps.standsForBody(principal.workspace, lineKey(key, 0)))) throw keyReused('Idempotency-Key');
        const lines = await withKept(toOrders({ lines: request.body, principal, key }, deps), principal, deps);
        const orders = lines.flatMap((line) => ('order' in line ? [line.order] : []));
        const created = await deps.intake.createMany(orders, request.isAbandoned);
        const replayed = created.some((flow) => flow.kind === 'replayed') || lines.some((line) => 'kept' in line);
        const items = toItems(lines, created).map((item) =>
          'error' in item ? { error: toProblem(item.error, { requestId: request.requestId, log: deps.log }) } : item,
        );
        return { status: 202, body: { items }, headers: replayed && key !== null ? { 'idempotency-replayed': 'true' } : {} };
      },
    }),
  ];
}

type BatchKey = { key: string; bodyHash: Buffer };
type Batch = { lines: readonly BatchLine[]; principal: Principal; key: BatchKey | null };

function batchKeyOf(key: string | null, lines: readonly BatchLine[]): BatchKey | null {
  return key === null ? null : { key, bodyHash: bodyHashOf(lines.map((line) => (line.ok ? line.value : null))) };
}

// The header's key stands for the whole body, as number 0, and each line is kept under it with its own number (a key has no space, so none
// can be mistaken for another): a batch that was cut off half-way is completed when it is sent again.
function lineKey({ key, bodyHash }: BatchKey, number: number): StartKey {
  return { route: BATCH_SCOPE, key: `${key} ${number}`, bodyHash };
}

function toOrders(batch: Batch, deps: FlowBatchRoutesDeps): Line[] {
  let phaseCount = 0;
  return batch.lines.map((line, index) => {
    let key = batch.key === null ? null : lineKey(batch.key, index + 1);
    try {
      if (!line.ok) throw line.error;
      const { idempotencyKey, ...body } = validate(batchLineSchema, line.value);
      key = ownKey(idempotencyKey, body) ?? key;
      const draft = deps.acceptor.accept(body, batch.principal);
      phaseCount += draft.phases.length;
      if (phaseCount > BATCH_PHASES_MAX)
        throw new AppError('payload-too-large', { detail: `A batch may start at most ${BATCH_PHASES_MAX} phases.` });
      return { order: { draft, idempotency: key } };
    } catch (error) {
      return { error, key };
    }
  });
}

// What was started before is answered before it is judged: meanwhile its time may have passed, or its definition be gone.
async function withKept(lines: readonly Line[], { workspace }: Principal, { readKept }: FlowBatchRoutesDeps): Promise<Line[]> {
  const keys = lines.flatMap((line) => ('error' in line && line.key !== null ? [line.key] : []));
  const found = await readKept(workspace, keys);
  const kept = new Map(keys.map((key, index) => [key, found[index]]));
  return lines.map((line) => {
    const before = 'error' in line && line.key !== null ? kept.get(line.key) : undefined;
    return before === undefined ? line : { kept: before };
  });
}

function ownKey(key: string | undefined, body: Omit<BatchLineBody, 'idempotencyKey'>): FlowOrder['idempotency'] {
  if (key === undefined) return null;
  if (!isIdempotencyKey(key)) throw new AppError('idempotency-key-invalid');
  return { route: BATCH_SCOPE, key, bodyHash: bodyHashOf(body) };
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
    const flow = 'kept' in line ? line.kept : created[next];
    if ('order' in line) next += 1;
    if (flow === undefined || flow.kind === 'key-reused') return { error: keyReused('/idempotencyKey') };
    if (flow.kind === 'duplicate') return { error: duplicateError(flow.flowId) };
    const { id, status, deduplicated } = flow.body as AcceptedFlow;
    return { id, status, ...(deduplicated === true ? { deduplicated } : {}) };
  });
}
