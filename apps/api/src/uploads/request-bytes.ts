// The bytes of a request's body as they arrive, limited in the time between them.
import type { IncomingMessage } from 'node:http';
import { AppError } from '@millrace/shared';

/**
 * Answers a function that answers the next bytes, null at the end, and throws AppError request-timeout.
 * @param idleMs longest time without a byte
 */
export function readRequestBytes(req: IncomingMessage, idleMs: number): () => Promise<Buffer | null> {
  // The request must stay whole when reading stops early, so that it can be answered.
  const iterator: AsyncIterator<Buffer> = req.iterator({ destroyOnReturn: false });
  return async () => {
    const next = await nextWithin(iterator, idleMs);
    return next.done === true ? null : next.value;
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
