// Operations as clients read them, and the answer that accepts one.
import { AppError, type CanaryAnswer, type OperationAnswer } from '@millrace/shared';
import type { CanaryState, CreatedOperation, StoredOperation } from '@millrace/store';
import type { z } from 'zod';
import { replayedBody } from '../http/input/idempotency-key.ts';
import type { ApiReply } from '../http/route.ts';

export function operationAnswer(stored: StoredOperation): OperationAnswer {
  return {
    id: stored.id,
    kind: stored.kind,
    status: stored.status,
    selection: { ...stored.selection.asked },
    total: stored.total,
    totalCapped: stored.total_capped,
    done: stored.done,
    succeeded: stored.succeeded,
    skipped: stored.skipped,
    failed: stored.failed,
    ratePerSecond: stored.rate_per_second,
    canary: stored.canary === null ? null : canaryAnswer(stored.canary),
    message: stored.message,
    createdBy: stored.created_by,
    createdAt: stored.created_at.toISOString(),
    startedAt: stored.started_at?.toISOString() ?? null,
    finishedAt: stored.finished_at?.toISOString() ?? null,
    links: { self: operationPath(stored.id), stop: `${operationPath(stored.id)}/stop` },
  };
}

function canaryAnswer({ released, recovered, returned, otherwise, unjudged, step }: CanaryState): CanaryAnswer {
  return { released, open: released - recovered - returned - otherwise - unjudged, recovered, returned, otherwise, unjudged, step };
}

export function operationPath(id: string): string {
  return `/v1/operations/${id}`;
}

/** @param locate finds the operation's address in an accepted body @throws AppError idempotency-key-reused */
export function acceptedReply<Body>(
  created: CreatedOperation,
  { schema, locate }: { schema: z.ZodType<Body>; locate(body: Body): string },
): ApiReply {
  if (created.kind === 'key-reused')
    throw new AppError('idempotency-key-reused', {
      errors: [{ pointer: 'Idempotency-Key', code: 'idempotency-key-reused', message: 'It was used with another body.' }],
    });
  const isReplay = created.kind === 'replayed';
  const body = (isReplay ? replayedBody(schema, created.body) : created.body) as Body;
  return { status: created.status, body, headers: { location: locate(body), ...(isReplay ? { 'idempotency-replayed': 'true' } : {}) } };
}
