// Keeps the lease of one running chunk alive and tells the work on it to stop when the lease is lost, the import was cancelled or the process ends.
import type { Logger } from '@millrace/process';
import { renewChunkLease, type Database } from '@millrace/store';
import type { StopReason } from './chunk-outcome.ts';

/** A killed worker's chunk is free after this; renewed every third of it. */
export const LEASE_MS = 10_000;
/** The lease is not trusted any more this long before its end, counted from the start of the last renewal that succeeded. */
const TRUST_MARGIN_MS = 1_500;

export type ChunkLease = {
  readonly signal: AbortSignal;
  stopReason(): StopReason | undefined;
  stop(reason: StopReason): void;
  /** Ends the renewals. The lease itself ends with the commit or release of the chunk. */
  end(): void;
};

export type ChunkLeaseDeps = { database: Pick<Database, 'hot'>; workerId: string; log: Logger };

export function keepChunkLease(deps: ChunkLeaseDeps, chunk: { id: string; fence: number; importId: string }): ChunkLease {
  const aborter = new AbortController();
  let reason: StopReason | undefined;
  let trustedAtMs = performance.now();
  const stop = (why: StopReason) => {
    reason ??= why;
    aborter.abort(new Error(`the work on the chunk was told to stop: ${why}`));
  };
  const renew = async () => {
    const startedAtMs = performance.now();
    try {
      if (await renewChunkLease(deps.database.hot, chunk, { worker: deps.workerId, leaseMs: LEASE_MS })) trustedAtMs = startedAtMs;
      else stop('lease-lost');
    } catch (error) {
      deps.log.warn({ err: error, importId: chunk.importId }, 'the lease of a chunk was not renewed');
    }
    if (performance.now() - trustedAtMs > LEASE_MS - TRUST_MARGIN_MS) stop('lease-lost');
  };
  const timer = setInterval(() => {
    void renew();
  }, LEASE_MS / 3);
  return {
    signal: aborter.signal,
    stopReason: () => reason,
    stop,
    end: () => {
      clearInterval(timer);
    },
  };
}
