// Writes COPY text into a table over one client, with back-pressure and without ever writing to a COPY that has failed.
import { finished } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { from as copyFrom } from 'pg-copy-streams';
import type { PoolClient } from '../../database.ts';

export type CopyRequest = {
  /** `COPY … FROM STDIN`, text format. */
  sql: string;
  /** Buffers of whole rows. The next one is made while PostgreSQL works on those before it. */
  buffers: Iterable<Buffer>;
  signal: AbortSignal;
};

/**
 * Answers how many rows were written. When it throws, the transaction is lost, and the client should not go back to its pool:
 * what the server still says about the COPY must not meet the next query.
 */
export async function copyIn(client: PoolClient, request: CopyRequest): Promise<number> {
  const stream = client.query(copyFrom(request.sql));
  let failure: Error | undefined;
  // The library reports the server's error by this event without destroying the stream, and must not be written to after it.
  const failed = new Promise<never>((_, reject) => {
    stream.on('error', (error) => {
      failure ??= error;
      reject(error);
    });
  });
  failed.catch(() => undefined);
  try {
    for (const buffer of request.buffers) {
      if (failure !== undefined) throw failure;
      request.signal.throwIfAborted();
      // One buffer on its way at a time: the kernel's socket buffers keep the server busy while the next one is made.
      await Promise.race([write(stream, buffer), failed]);
      await nextTurn();
    }
    if (failure !== undefined) throw failure;
    stream.end();
    await Promise.race([finished(stream), failed]);
    return stream.rowCount;
  } catch (error) {
    // Sends CopyFail when the server still waits for data.
    if (failure === undefined) stream.destroy(error instanceof Error ? error : new Error('copy aborted'));
    throw error;
  }
}

function write(stream: ReturnType<typeof copyFrom>, buffer: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(buffer, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
