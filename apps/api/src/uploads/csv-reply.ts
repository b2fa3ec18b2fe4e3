// Sends a stream of CSV as the answer.
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { preferredDownload, sendDownload } from '../http/download.ts';
import type { RawExchange } from '../http/route.ts';

/** True when Accept names text/csv and does not prefer application/json. */
export function wantsCsv(headers: IncomingHttpHeaders): boolean {
  return preferredDownload(headers, ['text/csv']) !== undefined;
}

/** @param open is not called for HEAD @param name of the file, ours: it stands in a header as it is */
export function sendCsv(raw: RawExchange, name: string, open: () => Promise<Readable>): Promise<void> {
  return sendDownload(raw, { contentType: 'text/csv; charset=utf-8; header=present', fileName: `${name}.csv`, open });
}
