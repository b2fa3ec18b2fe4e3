// What tests of isolated phases look at: steps that handlers keep, processes, receipts of cancels.
import { expect } from '@jest/globals';
import { eventually, readFlowBody, startFlow, type FlowBody, type TestStack } from '@millrace/testing';
import { fileURLToPath } from 'node:url';

export const TEST_FLOWS = fileURLToPath(new URL('flows', import.meta.url));

type Receipt = { phase: string; worker: string; requestedAt: string; seenAt: string | null; endedAt: string | null; how: string | null };

export type IsolatedSteps = ReturnType<typeof isolatedSteps>;

export function isolatedSteps(stack: TestStack) {
  const { main } = stack.database.database;
  return {
    start: (input: Record<string, unknown>) => startFlow(stack.client, 'test.isolated', input),
    /** What a handler kept as a step, once it has. */
    kept: (flowId: string, name: string) =>
      eventually(
        async () => {
          const { rows } = await main.query<{ result: number }>(
            'SELECT s.result FROM millrace.steps s JOIN millrace.phases p ON p.id = s.phase_id WHERE p.flow_id = $1 AND s.name = $2',
            [flowId, name],
          );
          if (rows[0] === undefined) throw new Error(`step ${name} is not kept yet`);
          return rows[0].result;
        },
        { withinMs: 20_000 },
      ),
    /** Attempts that did not complete their phase. */
    attempts: async (flowId: string) =>
      (
        await main.query<{ outcome: string; code: string | null }>(
          `SELECT a.outcome, a.error->>'code' AS code FROM millrace.attempts a JOIN millrace.phases p ON p.id = a.phase_id
           WHERE p.flow_id = $1 ORDER BY a.fence`,
          [flowId],
        )
      ).rows,
    cancel: async (flowId: string) => {
      expect((await stack.client.post(`/v1/flows/${flowId}/cancel`)).status).toBe(202);
    },
    receiptsEnded: (flowId: string, withinMs = 10_000) =>
      eventually(
        async () => {
          const { cancellation } = (await readFlowBody(stack.client, flowId)) as FlowBody & { cancellation?: { phases: Receipt[] } };
          if (cancellation?.phases.every(({ how }) => how !== null) !== true) throw new Error(JSON.stringify(cancellation));
          return cancellation.phases;
        },
        { withinMs },
      ),
  };
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

export async function dead(pid: number): Promise<void> {
  await eventually(() => {
    expect(isAlive(pid)).toBe(false);
  });
}
