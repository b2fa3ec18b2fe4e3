// How datasets and imports are shown to clients.
import type { DatasetAnswer, ImportAnswer } from '@millrace/shared';
import type { StoredDataset, StoredImport } from '@millrace/store';

export function importLinks({ id, dataset }: { id: string; dataset: string }): ImportAnswer['links'] {
  const self = `/v1/imports/${id}`;
  return { self, content: `${self}/content`, events: `${self}/events`, rejects: `${self}/rejects`, dataset: `/v1/datasets/${dataset}` };
}

export function datasetAnswer(dataset: StoredDataset): DatasetAnswer {
  const self = `/v1/datasets/${dataset.name}`;
  return {
    name: dataset.name,
    columns: dataset.columns,
    key: dataset.key,
    createdAt: dataset.created_at.toISOString(),
    updatedAt: dataset.updated_at.toISOString(),
    links: { self, rows: `${self}/rows`, imports: `/v1/imports?dataset=${dataset.name}` },
  };
}

/** @param nowMs wall-clock time, for the rate of an import that runs */
export function importAnswer(found: StoredImport, nowMs: number): ImportAnswer {
  const { options } = found;
  return {
    id: found.id,
    dataset: found.dataset,
    mode: found.mode,
    format: found.format,
    status: found.status,
    workspace: found.workspace,
    ...(options.mapping === undefined ? {} : { mapping: options.mapping }),
    ...(options.csv === undefined ? {} : { csv: options.csv }),
    onUnknownColumn: options.onUnknownColumn,
    maxRejects: options.maxRejects ?? null,
    sizeBytes: found.size_bytes,
    sha256: found.sha256,
    header: found.header,
    bytesTotal: found.bytes_total,
    bytesDone: found.bytes_done,
    rowsInserted: found.rows_inserted,
    rowsUpdated: found.rows_updated,
    rowsUnchanged: found.rows_unchanged,
    rowsSuperseded: found.rows_superseded,
    rowsRejected: found.rows_rejected,
    chunksTotal: found.chunks_total,
    chunksDone: found.chunks_done,
    ...rateOf(found, nowMs),
    ...(found.error === null ? {} : { error: found.error }),
    createdAt: found.created_at.toISOString(),
    queuedAt: found.queued_at?.toISOString() ?? null,
    startedAt: found.started_at?.toISOString() ?? null,
    finishedAt: found.finished_at?.toISOString() ?? null,
    links: importLinks(found),
  };
}

/** Rows per second since the start, and the time that is left at the same pace in bytes. */
export function rateOf(found: StoredImport, nowMs: number): Pick<ImportAnswer, 'rowsPerSecond' | 'etaSeconds'> {
  if (found.started_at === null) return { rowsPerSecond: null, etaSeconds: null };
  const seconds = Math.max(0.001, ((found.finished_at?.getTime() ?? nowMs) - found.started_at.getTime()) / 1_000);
  const rows = found.rows_inserted + found.rows_updated + found.rows_unchanged + found.rows_superseded + found.rows_rejected;
  const isRunning = found.status === 'running' && found.bytes_total !== null && found.bytes_done > 0;
  const etaSeconds = isRunning ? Math.ceil((((found.bytes_total ?? 0) - found.bytes_done) / found.bytes_done) * seconds) : null;
  return { rowsPerSecond: Math.round(rows / seconds), etaSeconds };
}
