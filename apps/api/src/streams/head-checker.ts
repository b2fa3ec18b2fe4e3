// Finds out what the doorbell did not announce: compares the newest seq of every watched subject with PostgreSQL, in bounded batches.
import { createLoop, type Clock, type Logger, type Loop } from '@millrace/process';
import type { Subscriptions } from '@millrace/redis';
import { readHeads, type Queryable } from '@millrace/store';
import type { SubjectFeed } from './feed/subject-feed.ts';
import { STREAM_LIMITS } from './stream-limits.ts';

type HeadCheckerOptions = {
  feeds: ReadonlyMap<string, SubjectFeed>;
  database: { main: Queryable };
  subscriptions: Pick<Subscriptions, 'isLive' | 'onReconnect'>;
  clock: Clock;
  log: Logger;
};

/** A loop that looks every 2 s while all is well; every 500 ms while the doorbell or PostgreSQL is away and for a moment after they are back. */
export function createHeadChecker(options: HeadCheckerOptions): Loop {
  const { feeds, database, subscriptions, clock } = options;
  let nextAtMs = 0;
  let lastAwayAtMs = Number.NEGATIVE_INFINITY;
  let isFailing = false;

  const loop = createLoop({
    name: 'stream-head-checker',
    intervalMs: STREAM_LIMITS.headCheckAwayMs,
    log: options.log,
    runOnce: async (signal) => {
      const nowMs = clock.monotonicMs();
      if (!subscriptions.isLive()) lastAwayAtMs = nowMs;
      // Channels are subscribed again only after the connection is back, so the haste goes on a little longer.
      const isHasty = nowMs - lastAwayAtMs < STREAM_LIMITS.headCheckMs;
      if (!isHasty && nowMs < nextAtMs) return 'idle';
      nextAtMs = nowMs + STREAM_LIMITS.headCheckMs - STREAM_LIMITS.headCheckAwayMs / 2;
      const failed = await checkAll(signal).then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      // Told here instead of thrown: the loop would wait longer after each failure, and streams should catch up as soon as they can.
      if (failed !== undefined && !isFailing)
        options.log.warn({ err: failed.error, subjects: feeds.size }, 'streams cannot read PostgreSQL, they stay open and will catch up');
      if (failed !== undefined) lastAwayAtMs = nowMs;
      isFailing = failed !== undefined;
      return 'idle';
    },
  });

  const checkAll = async (signal: AbortSignal) => {
    const ids = [...feeds.keys()];
    for (let from = 0; from < ids.length && !signal.aborted; from += STREAM_LIMITS.headsPerRead) {
      const batch = ids.slice(from, from + STREAM_LIMITS.headsPerRead);
      const heads = await readHeads(database.main, batch);
      for (const id of batch) {
        feeds.get(id)?.noteHead(heads.get(id) ?? 0);
        feeds.get(id)?.retryReads();
      }
    }
  };

  return {
    ...loop,
    start: () => {
      subscriptions.onReconnect(() => {
        lastAwayAtMs = clock.monotonicMs();
        loop.wake();
      });
      return loop.start();
    },
  };
}
