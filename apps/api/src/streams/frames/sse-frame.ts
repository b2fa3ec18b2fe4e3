// Bytes on the wire of a stream (WHATWG HTML, section 9.2). Each frame is built once and shared by all clients it goes to.
import { isEndEvent, type FlowEvent, type ImportEvent } from '@millrace/shared';
import { formatEventId, type ResetReason } from './event-id.ts';

/** An event, ready to be written. `isEnd`: it ends a run. */
export type EventFrame = { seq: number; isEnd: boolean; bytes: Buffer };

export const PING_FRAME = Buffer.from(': ping\n\n');

/** JSON has no raw line ends, and those of a type are taken out, so no text of a user can begin a line of its own. */
export function eventFrame(epoch: string, event: FlowEvent | ImportEvent): EventFrame {
  const bytes = Buffer.from(
    `id: ${formatEventId(epoch, event.seq)}\nevent: ${event.type.replaceAll(/[\r\n]/g, ' ')}\ndata: ${JSON.stringify(event)}\n\n`,
  );
  return { seq: event.seq, isEnd: isEndEvent(event.type), bytes };
}

/** No id: progress moves no cursor. */
export function progressFrame(progress: unknown): Buffer {
  return Buffer.from(`event: progress\ndata: ${JSON.stringify(progress)}\n\n`);
}

/** @param afterSeq its id lets a client that is cut right here go on without a second reset */
export function resetFrame(reason: ResetReason, position: { epoch: string; afterSeq: number }): Buffer {
  const { epoch, afterSeq } = position;
  return Buffer.from(`id: ${formatEventId(epoch, afterSeq)}\nevent: reset\ndata: ${JSON.stringify({ reason, epoch })}\n\n`);
}

/** Sets the client's time to wait before it connects again, in milliseconds. */
export function retryFrame(retryMs: number): Buffer {
  return Buffer.from(`retry: ${retryMs}\n\n`);
}

/** The last frame of a stream that the server ends: why, and when to come back. */
export function farewellFrame(event: 'bye' | 'refused', { reason, retryMs }: { reason: string; retryMs: number }): Buffer {
  return Buffer.from(`retry: ${retryMs}\nevent: ${event}\ndata: ${JSON.stringify({ reason })}\n\n`);
}

/** A time in [minMs, maxMs], so that clients that lost their streams together do not come back together. */
export function jitteredMs({ minMs, maxMs }: { minMs: number; maxMs: number }, random: () => number = Math.random): number {
  return Math.round(minMs + random() * (maxMs - minMs));
}

/** Joins frames into pieces of at most `bytesMax` (a larger frame is a piece of its own), so that a slow client can be left between two of them. */
export function* slices(frames: readonly EventFrame[], bytesMax: number): Generator<{ frames: readonly EventFrame[]; bytes: Buffer }> {
  let from = 0;
  let size = 0;
  for (const [index, frame] of frames.entries()) {
    if (index > from && size + frame.bytes.length > bytesMax) {
      yield slice(frames, { from, to: index });
      from = index;
      size = 0;
    }
    size += frame.bytes.length;
  }
  if (from < frames.length) yield slice(frames, { from, to: frames.length });
}

function slice(
  frames: readonly EventFrame[],
  { from, to }: { from: number; to: number },
): { frames: readonly EventFrame[]; bytes: Buffer } {
  const part = from === 0 && to === frames.length ? frames : frames.slice(from, to);
  const [first] = part;
  return { frames: part, bytes: part.length === 1 && first !== undefined ? first.bytes : Buffer.concat(part.map((frame) => frame.bytes)) };
}
