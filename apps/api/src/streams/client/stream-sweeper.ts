// The one timer of all streams: pings, cuts clients that do not take their bytes, and lets long streams rotate.
import type { Clock } from '@millrace/process';
import { STREAM_LIMITS } from '../stream-limits.ts';
import { PING_FRAME } from '../frames/sse-frame.ts';
import { canWrite, stallReason, writeTo, type StreamClient } from './stream-client.ts';

type SweeperOptions = {
  clients: ReadonlySet<StreamClient>;
  clock: Clock;
  /** Drops a client's connection. */
  cut(client: StreamClient, reason: string): void;
  /** Says goodbye to a client whose stream is old. */
  rotate(client: StreamClient): void;
};

export function createStreamSweeper(options: SweeperOptions): { start(): void; stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  return {
    start: () => {
      timer ??= setInterval(() => {
        sweep(options);
      }, STREAM_LIMITS.sweepEveryMs);
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}

function sweep({ clients, clock, cut, rotate }: SweeperOptions): void {
  const nowMs = clock.monotonicMs();
  const limits = { nowMs, waitingBytesMax: STREAM_LIMITS.waitingBytesMax, waitingMsMax: STREAM_LIMITS.waitingMsMax };
  for (const client of clients) {
    const reason = stallReason(client, limits);
    if (reason !== undefined) cut(client, reason);
    else if (!client.isEnding && nowMs >= client.rotateAtMs) rotate(client);
    // A ping may be early by half a sweep, so that on average it is on time.
    else if (nowMs >= client.nextPingAtMs - STREAM_LIMITS.sweepEveryMs / 2) ping(client, nowMs);
  }
}

// Bytes that wait for a full client keep the connection as busy as a ping would.
function ping(client: StreamClient, nowMs: number): void {
  client.nextPingAtMs = nowMs + STREAM_LIMITS.pingEveryMs;
  if (canWrite(client)) writeTo(client, PING_FRAME);
}
