// Where in a workspace's flows an input may be found: the newest flows, which no block covers yet, and the blocks whose filter does not rule
// it out. A search that says nothing of inputs looks everywhere.
import type { Queryable } from '../database.ts';
import { createValues, type FlowFilter, type Values } from './flow-filter.ts';
import type { IdRange } from './flow-paths.ts';
import { probesOf, termsOf } from './input-terms.ts';
import { successor } from './id-order.ts';

type Block = { after_id: string; last_id: string };

/** More blocks than this are not told apart: what lies behind them is searched as a whole, by later pages mostly. */
const BLOCKS_MAX = 300;

/** Ranges from the newest to the oldest, without overlap, that hold every flow of `within` whose input can match. */
export async function inputRanges(on: Queryable, { workspace, inputs = [] }: FlowFilter, within: IdRange): Promise<IdRange[]> {
  if (inputs.length === 0) return [within];
  const newest = await on.query<{ last_id: string }>({
    name: 'newest-input-block',
    text: 'SELECT last_id FROM millrace.input_blocks WHERE workspace = $1 ORDER BY last_id DESC LIMIT 1',
    values: [workspace],
  });
  const covered = newest.rows[0]?.last_id;
  if (covered === undefined) return [within];
  const blocks = await possibleBlocks(on, { workspace, inputs, within });
  const last = blocks.at(-1);
  const ranges: IdRange[] = [
    { after: covered },
    ...blocks.map((block) => ({ after: block.after_id, before: successor(block.last_id) })),
    ...(blocks.length === BLOCKS_MAX && last !== undefined ? [{ before: successor(last.after_id) }] : []),
  ];
  return joined(ranges).flatMap((range) => intersection(range, within));
}

// Neighbours are walked as one.
function joined(ranges: readonly IdRange[]): IdRange[] {
  const result: IdRange[] = [];
  for (const range of ranges) {
    const newer = result.at(-1);
    if (newer?.after === undefined || range.before !== successor(newer.after)) result.push(range);
    else
      result[result.length - 1] = {
        ...(newer.before === undefined ? {} : { before: newer.before }),
        ...(range.after === undefined ? {} : { after: range.after }),
      };
  }
  return result;
}

async function possibleBlocks(
  on: Queryable,
  { workspace, inputs, within }: { workspace: string; inputs: readonly (readonly string[])[]; within: IdRange },
): Promise<Block[]> {
  const values = createValues();
  const conditions = [
    `workspace = ${values.add(workspace)}`,
    ...(within.before === undefined ? [] : [`after_id < ${values.add(within.before)}::uuid`]),
    ...(within.after === undefined ? [] : [`last_id > ${values.add(within.after)}::uuid`]),
    `(bits IS NULL OR (${inputs.map((texts) => `(${texts.map((json) => mayContain(json, values)).join(' OR ')})`).join(' AND ')}))`,
  ];
  const result = await on.query<Block>(
    `SELECT after_id, last_id FROM millrace.input_blocks WHERE ${conditions.join(' AND ')} ORDER BY last_id DESC LIMIT ${BLOCKS_MAX}`,
    values.list,
  );
  return result.rows;
}

function mayContain(json: string, values: Values): string {
  const probes = termsOf(JSON.parse(json)).flatMap((term) => probesOf(term));
  if (probes.length === 0) return 'true';
  return probes.map((probe) => `get_bit(bits, ${values.add(probe)}::bigint % (octet_length(bits) * 8)) = 1`).join(' AND ');
}

function intersection(one: IdRange, other: IdRange): IdRange[] {
  const after = [one.after, other.after]
    .filter((id) => id !== undefined)
    .sort()
    .at(-1);
  const before = [one.before, other.before].filter((id) => id !== undefined).sort()[0];
  if (after !== undefined && before !== undefined && before <= after) return [];
  return [{ ...(after === undefined ? {} : { after }), ...(before === undefined ? {} : { before }) }];
}
