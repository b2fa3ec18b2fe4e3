// Loads one chunk in one transaction: rows, rejects, checkpoint, events, and last of all the fence check. What is not committed has not happened.
// Reading and checking the file's bytes is left to the caller, deciding about retries too.
import type { Dispatch } from '@millrace/shared';
import { connect, isDataFault, type Database, type PoolClient } from '../../database.ts';
import type { LoggedEvent } from '../../events/logged-event.ts';
import { columnList, IMPORT_ID_SETTING, tableName } from '../../datasets/dataset-table.ts';
import type { ClaimedChunk } from '../chunks/claim-chunk.ts';
import { completeChunk, type ChunkCounts } from '../chunks/complete-chunk.ts';
import { markSession } from '../chunks/lease-chunks.ts';
import { copyIn } from './copy-in.ts';
import { insertRejects, REJECTS_KEPT_MAX, type NewReject } from './insert-rejects.ts';
import { bisectRows, type RefusedRow } from './bisect-rows.ts';
import { mergeRows, type MergeResult, type MergeTarget } from './merge-rows.ts';
import { stageTable, type StageKind } from './stage-table.ts';

/** The rows of a chunk, as the parser gives them. */
export type ChunkSource = {
  /** Columns of the COPY text in order; the last is `_line`. */
  copyColumns: readonly string[];
  /** Reads the chunk from its start: COPY text in buffers of whole rows. May be called again. */
  read(): Iterable<Buffer>;
  /** What the last whole pass did not accept. `kept` may hold fewer than `count`. */
  rejects(): { kept: readonly NewReject[]; count: number };
  /** The lines of the rows the last whole pass accepted, ascending. */
  lines(): readonly number[];
  /** The text of the record at this line, cut to the limit of a reject. */
  rawOf(line: number): string;
};

export type ChunkLoad = { chunk: ClaimedChunk; worker: string; source: ChunkSource; signal: AbortSignal };

export type LoadOutcome =
  | { kind: 'committed'; ended: boolean; events: LoggedEvent[]; dispatches: Dispatch[]; counts: ChunkCounts }
  /** The rows were rolled back. `rejects`: what the chunk would have added to the list. */
  | { kind: 'too-many-rejects'; rejects: NewReject[]; count: number }
  /** Someone else owns the chunk, or the import is over. Nothing was written. */
  | { kind: 'lease-lost' };

/**
 * direct: COPY straight into the table, for inserts that meet no key twice. staged: through a session table, merged by mode.
 * careful: the same row by row where it must be, for chunks in which PostgreSQL refuses a value.
 */
type Strategy = 'direct' | 'staged' | 'careful';

const UNIQUE_VIOLATION = '23505';

/** @throws what PostgreSQL or the parser throws, when it is not about the data of single rows. */
export async function loadChunk(database: Pick<Database, 'long'>, load: ChunkLoad): Promise<LoadOutcome> {
  let strategy: Strategy = load.chunk.mode === 'insert' && !load.chunk.hasDuplicates ? 'direct' : 'staged';
  for (;;) {
    try {
      return await attempt(database, load, strategy);
    } catch (error) {
      if (strategy === 'careful' || !isDataFault(error)) throw error;
      const isDuplicate = (error as { code?: unknown }).code === UNIQUE_VIOLATION;
      strategy = strategy === 'direct' && isDuplicate ? 'staged' : 'careful';
    }
  }
}

async function attempt(database: Pick<Database, 'long'>, load: ChunkLoad, strategy: Strategy): Promise<LoadOutcome> {
  const client = await connect(database.long);
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    await markSession(client, load.chunk);
    const outcome = await finish(client, load, await loadRows(client, load, strategy));
    await client.query(outcome.kind === 'committed' ? 'COMMIT' : 'ROLLBACK');
    return outcome;
  } catch (error) {
    // The connection goes with it: after a failed COPY its protocol state is not to be relied on, and closing it rolls back as well.
    broken = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    client.release(broken);
  }
}

type LoadedRows = MergeResult & { refused: RefusedRow[] };

async function loadRows(client: PoolClient, load: ChunkLoad, strategy: Strategy): Promise<LoadedRows> {
  const { chunk, source } = load;
  const table = tableName({ workspace: chunk.workspace, name: chunk.dataset });
  if (strategy === 'direct') {
    await client.query('SELECT set_config($1, $2, true)', [IMPORT_ID_SETTING, chunk.importId]);
    const inserted = await copyIn(client, {
      sql: `COPY ${table} (${columnList(source.copyColumns)}) FROM STDIN`,
      buffers: source.read(),
      signal: load.signal,
    });
    return { inserted, updated: 0, unchanged: 0, superseded: 0, duplicates: [], refused: [] };
  }
  const kind: StageKind = strategy === 'careful' ? 'text' : 'typed';
  const stage = stageTable(kind, source.copyColumns, chunk.plan.columns);
  await client.query(stage.createSql);
  await copyIn(client, { sql: stage.copySql, buffers: source.read(), signal: load.signal });
  const target: MergeTarget = { table, names: source.copyColumns, key: chunk.plan.key, importId: chunk.importId, mode: chunk.mode };
  if (kind === 'typed') return { ...(await mergeRows(client, target, { sql: stage.source, values: [] })), refused: [] };
  return bisectRows(client, { target, stage, lines: source.lines(), signal: load.signal });
}

async function finish(client: PoolClient, load: ChunkLoad, rows: LoadedRows): Promise<LoadOutcome> {
  const { chunk, source } = load;
  const unread = source.rejects();
  const count = unread.count + rows.duplicates.length + rows.refused.length;
  const rejects = [...unread.kept, ...describeMissed(load, rows)]
    .sort((a, b) => a.line - b.line)
    .slice(0, Math.max(0, REJECTS_KEPT_MAX - chunk.rejectsKept));
  const { maxRejects } = chunk.options;
  if (maxRejects !== undefined && chunk.rowsRejected + count > maxRejects) return { kind: 'too-many-rejects', rejects, count };
  await insertRejects(client, chunk, rejects);
  const { inserted, updated, unchanged, superseded } = rows;
  const counts = { inserted, updated, unchanged, superseded, rejected: count };
  load.signal.throwIfAborted();
  const { committed, ended, events, dispatches } = await completeChunk(client, {
    id: chunk.id,
    fence: chunk.fence,
    worker: load.worker,
    ordinal: chunk.ordinal,
    counts,
    rejectsKept: rejects.length,
    hasDuplicates: rows.duplicates.length > 0,
  });
  return committed ? { kind: 'committed', ended, events, dispatches, counts } : { kind: 'lease-lost' };
}

function describeMissed({ chunk, source }: ChunkLoad, rows: LoadedRows): NewReject[] {
  const room = REJECTS_KEPT_MAX - chunk.rejectsKept;
  const keyColumn = chunk.plan.columns.find(({ name }) => chunk.plan.key.includes(name))?.name ?? null;
  const message = `The key (${chunk.plan.key.join(', ')}) is taken, by an earlier line or a row that was there before.`;
  const duplicates = rows.duplicates
    .slice(0, room)
    .map((line) => ({ line, column: keyColumn, code: 'duplicate', message, raw: source.rawOf(line) }));
  const refused = rows.refused
    .slice(0, room)
    .map((row) => ({ line: row.line, column: row.column, code: 'constraint', message: row.message, raw: source.rawOf(row.line) }));
  return [...duplicates, ...refused];
}
