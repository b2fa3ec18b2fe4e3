// The bytes of an upload as they arrive: counted, hashed and limited. Where they come from is the caller's business.
import { createHash } from 'node:crypto';
import { AppError } from '@millrace/shared';

export type ReceivedBytes = {
  /** The next bytes, null at the end. @throws AppError payload-too-large */
  next(): Promise<Buffer | null>;
  /** Bytes so far. */
  sizeBytes(): number;
  /** Of everything read, in hexadecimal digits; ends the hash. */
  sha256(): string;
};

/** @param signal what it aborts with is thrown by `next`, also while that waits for bytes */
export function countBytes(next: () => Promise<Buffer | null>, bytesMax: number, signal: AbortSignal): ReceivedBytes {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  return {
    next: async () => {
      signal.throwIfAborted();
      const bytes = await unlessAborted(next(), signal);
      if (bytes === null) return null;
      sizeBytes += bytes.length;
      if (sizeBytes > bytesMax) throw new AppError('payload-too-large', { detail: `The content may have at most ${bytesMax} bytes.` });
      hash.update(bytes);
      return bytes;
    },
    sizeBytes: () => sizeBytes,
    sha256: () => hash.digest('hex'),
  };
}

// A source that hangs must not keep its file and its slot.
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => {
    aborted.reject(signal.reason);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
