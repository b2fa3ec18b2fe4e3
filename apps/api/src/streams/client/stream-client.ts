// One client of a stream: what it has been sent, whether it can take more, and how long bytes have waited for it in this process.
// Its response is the only buffer: who cannot write remembers a position in the log and goes on from there.
import type { ServerResponse } from 'node:http';
import type { Principal } from '@millrace/shared';

export type StreamClient = {
  readonly res: ServerResponse;
  readonly principal: Principal;
  readonly subjectId: string;
  /** End after the terminal event of the current run. */
  readonly untilEnd: boolean;
  /** The last event it was sent. */
  position: number;
  /** The newest event known to end a run, at or before `position`. */
  endSeq: number;
  /** What it has seen of its subject's progress. */
  progressVersion: number;
  /** A page is being read for it. */
  isReading: boolean;
  /** Its response is full; the next 'drain' ends that. */
  isBlocked: boolean;
  /** A read failed; the next head check tries again. */
  isStuck: boolean;
  /** Ended or closed: nothing more may be written. */
  isEnding: boolean;
  writtenBytes: number;
  /** When `markedBytes` had been written, so that the age of what waits is known without a time-stamp per byte. */
  markedBytes: number;
  markedAtMs: number;
  nextPingAtMs: number;
  rotateAtMs: number;
};

type NewClient = Pick<StreamClient, 'res' | 'principal' | 'subjectId' | 'untilEnd' | 'position' | 'endSeq' | 'nextPingAtMs' | 'rotateAtMs'>;

export function createStreamClient(given: NewClient): StreamClient {
  return {
    ...given,
    progressVersion: 0,
    isReading: false,
    isBlocked: false,
    isStuck: false,
    isEnding: false,
    writtenBytes: 0,
    markedBytes: 0,
    markedAtMs: 0,
  };
}

/** True when nothing keeps frames from being written now. */
export function canWrite(client: StreamClient): boolean {
  return !client.isBlocked && !client.isReading && !client.isEnding;
}

/** Writes bytes that must be whole frames. A false answer of `write` still means that they were taken. */
export function writeTo(client: StreamClient, bytes: Buffer): void {
  client.writtenBytes += bytes.length;
  if (!client.res.write(bytes)) client.isBlocked = true;
}

/** Ends the stream with a last frame. What waits is still sent, within the limits of every other client. */
export function endClient(client: StreamClient, farewell?: Buffer): void {
  if (client.isEnding) return;
  client.isEnding = true;
  if (farewell === undefined) {
    client.res.end();
    return;
  }
  client.writtenBytes += farewell.length;
  client.res.end(farewell);
}

/**
 * Why a client must be cut, if it must. To be asked again and again: each time it learns whether the bytes that waited at an earlier look have left.
 * A slow client that takes all its bytes within `waitingMsMax` each is left alone.
 */
export function stallReason(
  client: StreamClient,
  limits: { nowMs: number; waitingBytesMax: number; waitingMsMax: number },
): 'too-many-bytes' | 'too-slow' | undefined {
  const waitingBytes = client.res.writableLength;
  if (waitingBytes > limits.waitingBytesMax) return 'too-many-bytes';
  if (waitingBytes === 0 || client.writtenBytes - waitingBytes >= client.markedBytes) {
    client.markedBytes = client.writtenBytes;
    client.markedAtMs = limits.nowMs;
    return undefined;
  }
  return limits.nowMs - client.markedAtMs > limits.waitingMsMax ? 'too-slow' : undefined;
}
