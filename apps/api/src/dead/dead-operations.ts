// Accepts a replay or a purge of dead phases: resolves what is meant to incidents, counts it and leaves the rest to a worker.
import { OPERATION_TOTAL_MAX, type DeadFilterBody } from '@millrace/shared';
import { countDead, createOperation, incidentIds, type CreatedOperation, type Database, type StoredOperation } from '@millrace/store';
import { bodyHashOf, idempotencyKeyOf } from '../http/input/idempotency-key.ts';
import type { ApiRequest } from '../http/route.ts';
import { operationAnswer } from '../operations/operation-answer.ts';
import { deadFilterOf } from './dead-filter.ts';

type DeadBody = {
  ids?: string[] | undefined;
  filter?: DeadFilterBody | undefined;
  ratePerSecond?: number | undefined;
  canary?: boolean | undefined;
};

const REPLAY_RATE_DEFAULT = 100;
const PURGE_RATE_DEFAULT = 1_000;
/** Up to so many are replayed at once; they are a canary themselves. */
const FEW_MAX = 5;

export async function acceptDeadOperation(
  database: Database,
  { body, headers, principal }: Pick<ApiRequest<unknown, DeadBody>, 'body' | 'headers' | 'principal'>,
  kind: 'replay' | 'purge',
): Promise<CreatedOperation> {
  const key = idempotencyKeyOf(headers);
  const { workspace } = principal;
  const filter = deadFilterOf(body, workspace);
  const incidents = await incidentIds(database.main, filter);
  const isReplay = kind === 'replay';
  const total = await countDead(
    database.main,
    { ...filter, incidents, until: 'infinity' },
    { of: isReplay ? 'flows' : 'phases', max: OPERATION_TOTAL_MAX },
  );
  const { failedAfter, failedBefore } = filter;
  return createOperation(
    database,
    {
      workspace,
      createdBy: principal.keyId,
      kind,
      selection: {
        asked: { ...(body.ids === undefined ? {} : { ids: body.ids }), ...(body.filter === undefined ? {} : { filter: body.filter }) },
        ...(failedAfter === undefined ? {} : { failedAfter }),
        ...(failedBefore === undefined ? {} : { failedBefore }),
      },
      incidents,
      ratePerSecond: body.ratePerSecond ?? (isReplay ? REPLAY_RATE_DEFAULT : PURGE_RATE_DEFAULT),
      total,
      canary: isReplay && (body.canary ?? total.count > FEW_MAX),
    },
    {
      idempotency: key === null ? null : { route: `POST /v1/dead/${kind}`, key, bodyHash: bodyHashOf(body) },
      answer: (stored) => ({ status: 202, body: acceptedBody(stored, total) }),
    },
  );
}

function acceptedBody(stored: StoredOperation, { count, capped }: { count: number; capped: boolean }): unknown {
  return { [stored.kind === 'replay' ? 'replayed' : 'purged']: count, capped, operation: operationAnswer(stored) };
}
