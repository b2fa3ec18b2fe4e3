// Flows that have failed, as workers would leave them.
import { claimPhases, failPhase, type Database } from '@millrace/store';
import { memberId } from '@millrace/shared';
import { post } from './ask.ts';
import type { TestApi } from './start-test-api.ts';

/** Starts a flow of one phase and fails it; answers its id. */
export async function startDead(
  api: TestApi,
  {
    key,
    message,
    code = 'Error',
    flow = 'test.one',
    input = {},
  }: { key?: string; message: string; code?: string; flow?: string; input?: unknown },
): Promise<string> {
  const answer = await post(api, '/v1/flows', { json: { flow, input }, ...(key === undefined ? {} : { key }) });
  const id = String(answer.json['id']);
  await failOnly(api.database, id, { code, message });
  return id;
}

async function failOnly(database: Database, flowId: string, error: { code: string; message: string }): Promise<void> {
  const id = memberId(flowId, 0);
  const found = await database.main.query<{ generation: number }>('SELECT generation FROM millrace.phases WHERE id = $1', [id]);
  const { results } = await claimPhases(database.hot, [{ id, generation: found.rows[0]?.generation ?? -1 }], {
    worker: 'test',
    leaseMs: 10_000,
  });
  const [claimed] = results;
  if (claimed?.kind !== 'claimed') throw new Error(`the phase was not claimed: ${claimed?.kind ?? 'no answer'}`);
  const { committed } = await failPhase(database, { id, fence: claimed.phase.fence, worker: 'test', error, retryDelayMs: null });
  if (!committed) throw new Error('the failure was refused');
}
