// Dead phases as lines of NDJSON or CSV, one per phase, with all that is needed to do their work elsewhere.
import { failureCause } from '@millrace/shared';
import type { ExportedPhase } from '@millrace/store';
import { formatCsvCell } from '@millrace/tabular';
import { NO_ERROR } from './incident-answer.ts';

export const EXPORT_TYPES = ['application/x-ndjson', 'text/csv'] as const;
export type ExportType = (typeof EXPORT_TYPES)[number];

/** Content type and end of the file's name. */
export const EXPORT_FORMS = {
  'application/x-ndjson': { contentType: 'application/x-ndjson', suffix: 'ndjson' },
  'text/csv': { contentType: 'text/csv; charset=utf-8; header=present', suffix: 'csv' },
} as const satisfies Record<ExportType, { contentType: string; suffix: string }>;

const COLUMNS = [
  'incident',
  'cause',
  'flow',
  'phase',
  'flowId',
  'phaseId',
  'status',
  'attempts',
  'code',
  'message',
  'failedAt',
  'createdAt',
  'tags',
  'input',
] as const;
type Line = Record<(typeof COLUMNS)[number], unknown>;

/** Texts to be written one after the other, one for each page. */
export async function* exportTexts(pages: AsyncIterable<ExportedPhase[]>, type: ExportType): AsyncGenerator<string> {
  if (type === 'text/csv') yield `${COLUMNS.join(',')}\r\n`;
  for await (const page of pages)
    yield page.map((phase) => (type === 'text/csv' ? csvLine(lineOf(phase)) : `${JSON.stringify(lineOf(phase))}\n`)).join('');
}

function lineOf(phase: ExportedPhase): Line {
  const error = phase.error ?? NO_ERROR;
  return {
    incident: phase.incident,
    cause: failureCause(error),
    flow: phase.flow,
    phase: phase.phase,
    flowId: phase.flow_id,
    phaseId: phase.phase_id,
    status: phase.status,
    attempts: phase.attempts,
    code: error.code,
    message: error.message,
    failedAt: phase.failed_at.toISOString(),
    createdAt: phase.created_at.toISOString(),
    tags: phase.tags,
    input: phase.input,
  };
}

function csvLine(line: Line): string {
  const cells = COLUMNS.map((column) => {
    const value = line[column];
    return formatCsvCell(typeof value === 'string' ? value : JSON.stringify(value));
  });
  return `${cells.join(',')}\r\n`;
}
