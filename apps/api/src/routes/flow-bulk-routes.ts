// Cancel or retry all flows of a filter: counted first if wished, then carried out as an operation.
import { bulkBody, bulkDryRunSchema, operationSchema, type BulkBody } from '@millrace/shared';
import { actionableStatuses, createOperation, previewFlows, type Database, type FlowFilter } from '@millrace/store';
import { storeFilterOf } from '../flows/flow-filter.ts';
import { bodyHashOf, idempotencyKeyOf } from '../http/input/idempotency-key.ts';
import { defineRoute, type Route } from '../http/route.ts';
import { acceptedReply, operationAnswer } from '../operations/operation-answer.ts';
import { IDEMPOTENCY_HEADER } from './flow-routes.ts';

const PATH = '/v1/flows/bulk';
const RATE_DEFAULT = 500;
const SAMPLE_MAX = 10;

export function flowBulkRoutes({ database }: { database: Database }): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: PATH,
      operationId: 'bulkFlows',
      summary: 'Cancel or retry many flows',
      description:
        'Of the flows that match, those that can be cancelled (not ended) or retried (failed) when it is their turn, and that were accepted before this request. `dryRun` only counts them, up to 10,000.',
      tag: 'Flows',
      headers: IDEMPOTENCY_HEADER,
      body: { kind: 'json', schema: bulkBody },
      responses: {
        200: { description: 'With `dryRun`: how many there are', schema: bulkDryRunSchema },
        202: {
          description: 'The operation that carries it out',
          schema: operationSchema,
          headers: { Location: 'The operation', 'Idempotency-Replayed': '`true` when this is the answer of an earlier request' },
        },
      },
      errors: ['idempotency-key-invalid', 'idempotency-in-progress', 'idempotency-key-reused'],
      handler: async ({ body, headers, principal }) => {
        const flows = actionableFlows(body);
        if (body.dryRun === true)
          return { status: 200, body: await previewFlows(database, { ...flows, workspace: principal.workspace }, SAMPLE_MAX) };
        const key = idempotencyKeyOf(headers);
        const created = await createOperation(
          database,
          {
            workspace: principal.workspace,
            createdBy: principal.keyId,
            kind: body.action,
            selection: { asked: { filter: body.filter }, flows },
            incidents: null,
            ratePerSecond: body.ratePerSecond ?? RATE_DEFAULT,
            total: null,
            canary: false,
          },
          {
            idempotency: key === null ? null : { route: `POST ${PATH}`, key, bodyHash: bodyHashOf(body) },
            answer: (stored) => ({ status: 202, body: operationAnswer(stored) }),
          },
        );
        return acceptedReply(created, { schema: operationSchema, locate: (operation) => operation.links.self });
      },
    }),
  ];
}

// Flows of any other status would be passed over one by one.
function actionableFlows({ action, filter }: BulkBody): Omit<FlowFilter, 'workspace'> {
  const flows = storeFilterOf(filter);
  const possible = actionableStatuses(action);
  return { ...flows, statuses: possible.filter((status) => flows.statuses?.includes(status) ?? true) };
}
