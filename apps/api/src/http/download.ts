// Answers that are streamed as a file: which form the client prefers, and sending it as fast as the client reads and no faster.
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { RawExchange } from './route.ts';

/** Long enough for PostgreSQL to sort a big table before the first byte. */
const SILENCE_MS_MAX = 120_000;

/** The one of `types` that Accept names and prefers to application/json; undefined when there is none. Wildcards mean JSON. */
export function preferredDownload<Type extends string>({ accept }: IncomingHttpHeaders, types: readonly Type[]): Type | undefined {
  if (accept === undefined) return undefined;
  const qualities = new Map(accept.split(',').map((range) => parseRange(range)));
  const quality = (type: string) => qualities.get(type) ?? 0;
  const [best] = types.toSorted((a, b) => quality(b) - quality(a));
  return best !== undefined && quality(best) > 0 && quality(best) >= quality('application/json') ? best : undefined;
}

function parseRange(range: string): [string, number] {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
  const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
  return [type, Number.isNaN(quality) ? 0 : quality];
}

export type Download = {
  contentType: string;
  /** Ours: it stands in a header as it is. */
  fileName: string;
  /** Not called for HEAD. */
  open(): Promise<Readable>;
};

export async function sendDownload({ req, res }: RawExchange, download: Download): Promise<void> {
  const headers = { 'content-type': download.contentType, 'content-disposition': `attachment; filename="${download.fileName}"` };
  if (req.method === 'HEAD') {
    res.writeHead(200, headers).end();
    return;
  }
  const stream = await download.open();
  res.setTimeout(SILENCE_MS_MAX, () => res.destroy());
  res.writeHead(200, headers);
  try {
    await pipeline(stream, res);
  } catch (error) {
    // A client that went away is no fault; anything else cuts the connection, which tells the client that the file is not whole.
    if ((error as { code?: unknown }).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
