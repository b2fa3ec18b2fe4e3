// Makes the blocks that searches of inputs use, in the background. A block is made once and for all, so it must not be made while a flow may
// still come that belongs to it: ids are made before their flow is committed.
import type { Database, Queryable } from '../database.ts';
import { firstIdAt } from './id-order.ts';
import { filterOf } from './input-terms.ts';

/** Every transaction that had begun to write by `at` had ended when `xmax` was the oldest that had not. */
export type Mark = { atMs: number; xmax: bigint };

/** Flows in a block. Smaller workspaces are searched as a whole. */
export const BLOCK_FLOWS = 1_000;
/** Between the making of an id and the first write of its transaction, clocks that differ included. */
const LAG_MS = 120_000;
const BLOCKS_PER_PASS = 20;
const INPUTS_READ_AT_ONCE = 100;
/** As stored. Larger inputs are not read: their block may hold anything. */
const INPUT_BYTES_MAX = 65_536;
const ADVISORY_LOCK = 7_266_310_002;
const MARKS_MAX = 100;
const NO_ID = '00000000-0000-0000-0000-000000000000';

export type InputIndexer = {
  /** Makes up to 20 blocks, and forgets blocks whose flows are gone. Answers how many it made. */
  runOnce(): Promise<number>;
};

/** @param lagMs for tests */
export function createInputIndexer(database: Pick<Database, 'main' | 'transaction'>, lagMs = LAG_MS): InputIndexer {
  let marks: Mark[] = [];
  return {
    runOnce: async () => {
      const now = await readSnapshot(database.main);
      const safeAtMs = marks.findLast((mark) => mark.xmax <= now.xmin)?.atMs;
      marks = [...marks.filter((mark) => safeAtMs === undefined || mark.atMs >= safeAtMs), { atMs: now.atMs, xmax: now.xmax }].slice(
        -MARKS_MAX,
      );
      await forgetEmpty(database.main);
      return safeAtMs === undefined ? 0 : makeBlocks(database, firstIdAt(safeAtMs - lagMs));
    },
  };
}

type Snapshot = { atMs: number; xmin: bigint; xmax: bigint };

async function readSnapshot(on: Queryable): Promise<Snapshot> {
  const result = await on.query<{ at_ms: number; xmin: string; xmax: string }>(
    `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at_ms, pg_snapshot_xmin(s)::text AS xmin, pg_snapshot_xmax(s)::text AS xmax
     FROM pg_current_snapshot() AS s`,
  );
  const { at_ms: atMs = 0, xmin = '0', xmax = '0' } = result.rows[0] ?? {};
  return { atMs, xmin: BigInt(xmin), xmax: BigInt(xmax) };
}

type NewBlock = { workspace: string; after_id: string; last_id: string };

async function makeBlocks(database: Pick<Database, 'main' | 'transaction'>, beforeId: string): Promise<number> {
  const due = await database.main.query<NewBlock>({
    name: 'due-input-blocks',
    text: `
SELECT w.name AS workspace, coalesce(made.last_id, $3) AS after_id, next.id AS last_id FROM millrace.workspaces w
LEFT JOIN LATERAL (SELECT last_id FROM millrace.input_blocks WHERE workspace = w.name ORDER BY last_id DESC LIMIT 1) AS made ON true
CROSS JOIN LATERAL (
  SELECT id FROM millrace.flows WHERE workspace = w.name AND id > coalesce(made.last_id, $3) AND id < $1 ORDER BY id OFFSET ${BLOCK_FLOWS - 1} LIMIT 1
) AS next LIMIT $2`,
    values: [beforeId, BLOCKS_PER_PASS, NO_ID],
  });
  let count = 0;
  for (const first of due.rows) {
    for (let block: NewBlock | undefined = first; block !== undefined && count < BLOCKS_PER_PASS; count += 1) {
      await keepBlock(database, block, await readFilter(database.main, block));
      block = await blockAfter(database.main, block, beforeId);
    }
  }
  return count;
}

async function blockAfter(on: Queryable, { workspace, last_id }: NewBlock, beforeId: string): Promise<NewBlock | undefined> {
  const next = await on.query<{ id: string }>({
    name: 'next-input-block',
    text: `SELECT id FROM millrace.flows WHERE workspace = $1 AND id > $2 AND id < $3 ORDER BY id OFFSET ${BLOCK_FLOWS - 1} LIMIT 1`,
    values: [workspace, last_id, beforeId],
  });
  const [row] = next.rows;
  return row === undefined ? undefined : { workspace, after_id: last_id, last_id: row.id };
}

async function readFilter(on: Queryable, { workspace, after_id, last_id }: NewBlock): Promise<Buffer | null> {
  const inputs: unknown[] = [];
  for (let after = after_id; ;) {
    const page = await on.query<{ id: string; input: unknown; fits: boolean }>({
      name: 'read-inputs',
      text: `SELECT id, pg_column_size(input) <= $5 AS fits, CASE WHEN pg_column_size(input) <= $5 THEN input END AS input
             FROM millrace.flows WHERE workspace = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4`,
      values: [workspace, after, last_id, INPUTS_READ_AT_ONCE, INPUT_BYTES_MAX],
    });
    if (page.rows.some((row) => !row.fits)) return null;
    inputs.push(...page.rows.map((row) => row.input));
    const last = page.rows.at(-1);
    if (last === undefined || page.rows.length < INPUTS_READ_AT_ONCE) return filterOf(inputs);
    after = last.id;
  }
}

// Another process may have made it in the meantime, perhaps with another end because flows were deleted.
async function keepBlock(database: Pick<Database, 'transaction'>, block: NewBlock, bits: Buffer | null): Promise<void> {
  await database.transaction(async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(${ADVISORY_LOCK})`);
    await client.query({
      name: 'keep-input-block',
      text: `INSERT INTO millrace.input_blocks (workspace, after_id, last_id, bits)
             SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM millrace.input_blocks WHERE workspace = $1 AND last_id > $2)`,
      values: [block.workspace, block.after_id, block.last_id, bits],
    });
  });
}

async function forgetEmpty(on: Queryable): Promise<void> {
  await on.query(`
DELETE FROM millrace.input_blocks b USING (
  SELECT w.name, oldest.last_id FROM millrace.workspaces w
  CROSS JOIN LATERAL (SELECT last_id FROM millrace.input_blocks WHERE workspace = w.name ORDER BY last_id LIMIT ${BLOCKS_PER_PASS}) AS oldest
  WHERE NOT EXISTS (SELECT FROM millrace.flows WHERE workspace = w.name AND id <= oldest.last_id)
) AS empty WHERE b.workspace = empty.name AND b.last_id = empty.last_id`);
}
