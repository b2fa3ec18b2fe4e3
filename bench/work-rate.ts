// How fast a peer works off jobs that wait already: jobs per second between the moment a tenth of them is done, which is its warm-up,
// and the end. When that moment was missed, because most of them were done at once, everything from the beginning counts.
import { setTimeout as delay } from 'node:timers/promises';
import type { PeerProcess } from './run-peer.ts';

const WARM_UP_FRACTION = 0.1;
/** With more than this done when the end of the warm-up is noticed, too little is left to be measured. */
const MISSED_FRACTION = 0.5;
/** A peer that gets no further in this time is stuck. */
const STALL_MS = 60_000;

/**
 * Asks how many jobs remain until none does.
 * @param load.pollMs pause between two questions, 10 ms by default
 */
export async function drainRate(
  remaining: () => Promise<number> | number,
  { jobCount, pollMs = 10 }: { jobCount: number; pollMs?: number },
): Promise<number> {
  const beginning = { done: 0, atMs: performance.now() };
  let start: typeof beginning | undefined;
  let latest = beginning;
  for (;;) {
    const done = jobCount - (await remaining());
    const atMs = performance.now();
    if (done > latest.done) latest = { done, atMs };
    else if (atMs - latest.atMs > STALL_MS) throw new Error(`stuck at ${latest.done} of ${jobCount} jobs`);
    if (start === undefined && done >= jobCount * WARM_UP_FRACTION) start = done > jobCount * MISSED_FRACTION ? beginning : { done, atMs };
    if (start !== undefined && done >= jobCount) return (done - start.done) / ((atMs - start.atMs) / 1_000);
    await delay(pollMs);
  }
}

/** How many jobs peers have done between them. */
export type DoneCounts = {
  /** @throws Error when one of them has ended. */
  total(): number;
};

/** Tells peers that are ready to begin, all at the same time. From then on each prints {"done":n} with the jobs it has done so far. */
export function letGo(peers: readonly PeerProcess[]): DoneCounts {
  const counts = peers.map(() => 0);
  let fault: Error | undefined;
  const follow = async (peer: PeerProcess, index: number): Promise<never> => {
    for (;;) counts[index] = Number((await peer.nextLine())['done']);
  };
  for (const [index, peer] of peers.entries()) {
    follow(peer, index).catch((error: unknown) => {
      fault = error instanceof Error ? error : new Error(String(error));
    });
    peer.write('go');
  }
  return {
    total: () => {
      if (fault !== undefined) throw fault;
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}
