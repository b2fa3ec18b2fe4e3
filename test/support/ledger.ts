// Ledger flows and what must be true of them at the end, whatever died in between.
import { expect } from '@jest/globals';
import { eventually, startFlows, type TestStack } from '@millrace/testing';

export const LEDGER_PHASES = 5;

export async function startLedgers(stack: TestStack, count: number, prefix = 'ledger'): Promise<string[]> {
  return startFlows(
    stack.client,
    Array.from({ length: count }, (_, index) => ({ flow: 'selftest.ledger', input: { phases: LEDGER_PHASES, key: `${prefix}-${index}` } })),
  );
}

/** Statuses of all flows with their counts. */
export async function flowCounts(stack: TestStack): Promise<Record<string, number>> {
  const result = await stack.database.database.main.query<{ status: string; count: number }>(
    'SELECT status, count(*)::int AS count FROM millrace.flows GROUP BY status',
  );
  return Object.fromEntries(result.rows.map((row) => [row.status, row.count]));
}

export async function allCompleted(stack: TestStack, count: number, withinMs: number): Promise<void> {
  await eventually(
    async () => {
      expect(await flowCounts(stack)).toEqual({ completed: count });
    },
    { withinMs },
  );
}

/** Every effect once, every log without a gap and with one end. */
export async function expectExactLedger(stack: TestStack, flowCount: number): Promise<void> {
  const { main } = stack.database.database;
  const rows = await main.query('SELECT count(*)::int AS rows, count(DISTINCT (key, phase))::int AS distinct FROM selftest_ledger');
  expect(rows.rows[0]).toEqual({ rows: flowCount * LEDGER_PHASES, distinct: flowCount * LEDGER_PHASES });
  const gaps = await main.query('SELECT subject_id FROM millrace.events GROUP BY subject_id HAVING count(*) <> max(seq) OR min(seq) <> 1');
  expect(gaps.rows).toEqual([]);
  const ends = await main.query("SELECT count(*)::int AS ends FROM millrace.events WHERE type = 'flow.completed'");
  expect(ends.rows[0]).toEqual({ ends: flowCount });
  const committed = await main.query("SELECT count(*)::int AS phases FROM millrace.events WHERE type = 'phase.completed'");
  expect(committed.rows[0]).toEqual({ phases: flowCount * LEDGER_PHASES });
}
