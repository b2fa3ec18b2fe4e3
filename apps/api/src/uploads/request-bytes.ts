// The bytes of an upload as they arrive: counted, hashed, limited in size and in idle time. Nothing is trusted that a header says of them.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { AppError } from '@millrace/shared';

export type ByteLimits = {
  bytesMax: number;
  /** Longest time without a byte. */
  idleMs: number;
};

export type RequestBytes = {
  /** The next bytes, null at the end. @throws AppError payload-too-large, request-timeout */
  next(): Promise<Buffer | null>;
  /** Bytes so far. */
  sizeBytes(): number;
  /** Of everything read, in hexadecimal digits; ends the hash. */
  sha256(): string;
};

/** @param signal what it aborts with is thrown by `next` */
export function readRequestBytes(req: IncomingMessage, { bytesMax, idleMs }: ByteLimits, signal: AbortSignal): RequestBytes {
  const hash = createHash('sha256');
  // The request must stay whole when reading stops early, so that it can be answered.
  const iterator: AsyncIterator<Buffer> = req.iterator({ destroyOnReturn: false });
  let sizeBytes = 0;
  return {
    next: async () => {
      signal.throwIfAborted();
      const next = await nextWithin(iterator, idleMs);
      if (next.done === true) return null;
      sizeBytes += next.value.length;
      if (sizeBytes > bytesMax) throw new AppError('payload-too-large', { detail: `The content may have at most ${bytesMax} bytes.` });
      hash.update(next.value);
      return next.value;
    },
    sizeBytes: () => sizeBytes,
    sha256: () => hash.digest('hex'),
  };
}

async function nextWithin(iterator: AsyncIterator<Buffer>, idleMs: number): Promise<IteratorResult<Buffer>> {
  const idle = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    idle.reject(new AppError('request-timeout', { detail: `No byte of the content arrived for ${Math.round(idleMs / 1_000)} s.` }));
  }, idleMs);
  try {
    return await Promise.race([iterator.next(), idle.promise]);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('request-timeout', { detail: 'The connection ended before the content did.' }, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
