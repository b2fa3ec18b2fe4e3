// The newest frames of a subject, without a gap, kept while it is watched: who joins or falls a little behind is served from here instead of from PostgreSQL.
import type { EventFrame } from '../frames/sse-frame.ts';

export type FrameTail = {
  /** The frames after `seq`, oldest first, or undefined when some of them are no longer here. */
  after(seq: number): readonly EventFrame[] | undefined;
  /** Adds what follows the newest frame. */
  append(frames: readonly EventFrame[]): void;
  /** Begins anew: `frames` end at `headSeq`. */
  restart(headSeq: number, frames: readonly EventFrame[]): void;
};

export function createFrameTail({ framesMax, bytesMax }: { framesMax: number; bytesMax: number }): FrameTail {
  let frames: EventFrame[] = [];
  let sizeBytes = 0;
  let headSeq = 0;

  const append = (added: readonly EventFrame[]) => {
    for (const frame of added) {
      frames.push(frame);
      sizeBytes += frame.bytes.length;
      headSeq = frame.seq;
    }
    let drop = 0;
    while (drop < frames.length && (frames.length - drop > framesMax || sizeBytes > bytesMax)) {
      sizeBytes -= frames[drop]?.bytes.length ?? 0;
      drop += 1;
    }
    if (drop > 0) frames = frames.slice(drop);
  };

  return {
    after: (seq) => {
      if (seq >= headSeq) return [];
      const missing = headSeq - frames.length - seq;
      return missing > 0 ? undefined : frames.slice(-missing);
    },
    append,
    restart: (seq, kept) => {
      frames = [];
      sizeBytes = 0;
      append(kept);
      headSeq = seq;
    },
  };
}
