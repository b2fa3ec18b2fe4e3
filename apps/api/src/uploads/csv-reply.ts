// Sends a stream of CSV as the answer, as fast as the client reads and no faster, and cuts a client that stops reading.
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { prefersOverJson } from '../http/input/accept.ts';
import type { RawExchange } from '../http/route.ts';

/** Long enough for PostgreSQL to sort a big table before the first byte. */
const SILENCE_MS_MAX = 120_000;

/** True when Accept names text/csv and does not prefer application/json. */
export function wantsCsv({ accept }: IncomingHttpHeaders): boolean {
  return prefersOverJson(accept, 'text/csv');
}

/** @param open is not called for HEAD @param name of the file, ours: it stands in a header as it is */
export async function sendCsv({ req, res }: RawExchange, name: string, open: () => Promise<Readable>): Promise<void> {
  const headers = {
    'content-type': 'text/csv; charset=utf-8; header=present',
    'content-disposition': `attachment; filename="${name}.csv"`,
  };
  if (req.method === 'HEAD') {
    res.writeHead(200, headers).end();
    return;
  }
  const stream = await open();
  res.setTimeout(SILENCE_MS_MAX, () => res.destroy());
  res.writeHead(200, headers);
  try {
    await pipeline(stream, res);
  } catch (error) {
    // A client that went away is no fault; anything else cuts the connection, which tells the client that the file is not whole.
    if ((error as { code?: unknown }).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
