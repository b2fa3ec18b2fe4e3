// Everything pure about reading delimited text and NDJSON into rows checked against a dataset, and writing CSV cells.
// No files, no network, no database: bytes in, COPY text and rejects out.

export { fileFault } from './types.ts';
export type {
  ColumnSpec,
  ColumnType,
  CsvDialect,
  FileChunk,
  FileFault,
  FileFaultCode,
  FileFormat,
  FileIndex,
  LineEnd,
  Reject,
  RejectCode,
} from './types.ts';
export { createChunkIndexer } from './indexing/chunk-indexer.ts';
export type { ChunkIndexer, ChunkIndexerOptions } from './indexing/chunk-indexer.ts';
export { inferFormat } from './indexing/sniff-file.ts';
export { foldColumnName, mapColumns } from './mapping/map-columns.ts';
export type { ColumnPlan, MapColumnsInput, MapColumnsResult, UnknownColumnPolicy } from './mapping/map-columns.ts';
export { createRowReader } from './reading/row-reader.ts';
export type { RowReader, RowReaderOptions } from './reading/row-reader.ts';
export type { ChunkRows } from './reading/chunk-rows.ts';
export { rawExcerpt } from './reading/describe-fault.ts';
export { assertPattern } from './checks/bounds.ts';
export { defuseFormula, formatCsvCell } from './csv-cell.ts';
