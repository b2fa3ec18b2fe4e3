// For tests: runs a whole file through indexer, mapping and reader, and reads the COPY text back into values.
import { createChunkIndexer, createRowReader, mapColumns } from '../src/index.ts';
import type { ChunkIndexerOptions, ChunkRows, ColumnSpec, FileFault, FileIndex, MapColumnsInput, Reject } from '../src/index.ts';

export interface LoadOptions extends Partial<ChunkIndexerOptions> {
  columns?: readonly ColumnSpec[];
  onUnknownColumn?: MapColumnsInput['onUnknownColumn'];
  mapping?: Readonly<Record<string, string>>;
  /** Sizes of the pushes, used in turn; the whole file at once when absent. */
  pushSizes?: readonly number[];
  partBytes?: number;
  rejectLimit?: number;
}

export interface Loaded {
  fault: FileFault | null;
  index: FileIndex | null;
  copyColumns: string[];
  rows: (string | null)[][];
  lines: number[];
  rejects: Reject[];
  chunkRows: ChunkRows[];
}

const escapes: Record<string, string> = { '\\\\': '\\', '\\t': '\t', '\\n': '\n', '\\r': '\r' };

/** Reads COPY text as PostgreSQL does. */
export function parseCopyText(text: string): (string | null)[][] {
  const decode = (cell: string) => (cell === '\\N' ? null : cell.replaceAll(/\\[\\tnr]/g, (escape) => escapes[escape] ?? escape));
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').map(decode));
}

export function indexBytes(bytes: Buffer, options: LoadOptions = {}): FileIndex | FileFault {
  const indexer = createChunkIndexer({ format: 'auto', ...options });
  const sizes = options.pushSizes ?? [Math.max(bytes.length, 1)];
  for (let start = 0, turn = 0; start < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1);
    indexer.push(Buffer.from(bytes.subarray(start, start + size)));
    start += size;
  }
  return indexer.end();
}

/** Text columns named as given. */
export function textColumns(...names: string[]): ColumnSpec[] {
  return names.map((name) => ({ name, type: 'text' }));
}

export function loadText(input: string | Buffer, options: LoadOptions = {}): Loaded {
  const bytes = Buffer.from(input);
  const { columns = textColumns('id', 'name'), onUnknownColumn = 'fail' } = options;
  const loaded: Loaded = { fault: null, index: null, copyColumns: [], rows: [], lines: [], rejects: [], chunkRows: [] };
  const index = indexBytes(bytes, options);
  if (index.kind === 'fault') return { ...loaded, fault: index };
  const mapped = mapColumns({
    ...index,
    columns,
    onUnknownColumn,
    isPositional: !index.dialect.header,
    ...(options.mapping === undefined ? {} : { mapping: options.mapping }),
  });
  if (!mapped.ok) return { ...loaded, index, fault: mapped.fault };
  const { partBytes = 1024, rejectLimit = 1000 } = options;
  const reader = createRowReader({ plan: mapped.plan, columns, dialect: index.dialect, format: index.format, partBytes, rejectLimit });
  const chunkRows = index.chunks.map(({ byteOffset, byteLength, firstLine }) =>
    reader.readChunk(bytes.subarray(byteOffset, byteOffset + byteLength), firstLine),
  );
  const text = chunkRows
    .flatMap((chunk) => chunk.copyText)
    .map((part) => part.toString('utf8'))
    .join('');
  return {
    fault: null,
    index,
    copyColumns: reader.copyColumns,
    rows: parseCopyText(text),
    lines: chunkRows.flatMap(({ lines }) => lines),
    rejects: chunkRows.flatMap(({ rejects }) => rejects),
    chunkRows,
  };
}
