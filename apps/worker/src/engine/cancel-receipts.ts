// Tells PostgreSQL what becomes of running phases whose flow is cancelled: when this worker saw it, when and how each ended. Combined
// writes that nobody waits for; what cannot be written is closed by the reconciler.
import { createMicroBatcher, type Clock, type Logger } from '@millrace/process';
import { fillReceipts, type Database } from '@millrace/store';
import type { RunningPhase, RunningPhasesObserver } from './running-phases.ts';
import { throughOutage } from './through-outage.ts';

export type CancelReceipts = Pick<RunningPhasesObserver, 'onStop' | 'onRemove'> & {
  /** Settles when everything told before is written or given up. */
  drain(): Promise<void>;
};

type Told = { running: RunningPhase; seenAtMs: number; endedAtMs: number | null };

/** One batch at a time: two that tell of the same phase must not wait for each other. */
const BATCH = { batchMax: 500, inFlightMax: 1, pendingMax: 10_000 };

export function createCancelReceipts({ database, clock, log }: { database: Database; clock: Clock; log: Logger }): CancelReceipts {
  const seen = new WeakMap<RunningPhase, { atMs: number; isCertain: boolean }>();
  const batcher = createMicroBatcher<Told, null>({
    ...BATCH,
    send: async (items) => {
      await throughOutage(() => fillReceipts(database.main, items.map(receiptAt(clock.monotonicMs()))));
      return items.map(() => null);
    },
  });
  const tell = (told: Told) => {
    batcher.add(told).catch((error: unknown) => {
      log.warn({ err: error, flowId: told.running.phase.flowId }, 'a receipt of a cancelled phase was not written');
    });
  };
  return {
    // A lost lease may be a cancel whose message was lost: if it is none, there is no receipt, and telling changes nothing.
    onStop: (running, reason) => {
      if (reason !== 'cancelled' && reason !== 'lease-lost') return;
      const before = seen.get(running);
      if (before?.isCertain === true || (before !== undefined && reason === 'lease-lost')) return;
      const atMs = clock.monotonicMs();
      seen.set(running, { atMs, isCertain: reason === 'cancelled' });
      tell({ running, seenAtMs: atMs, endedAtMs: null });
    },
    onRemove: (running) => {
      const known = seen.get(running);
      if (known !== undefined) tell({ running, seenAtMs: known.atMs, endedAtMs: clock.monotonicMs() });
    },
    drain: () => batcher.drain(),
  };
}

function receiptAt(nowMs: number) {
  return ({ running, seenAtMs, endedAtMs }: Told) => ({
    flowId: running.phase.flowId,
    run: running.phase.run,
    phaseId: running.phase.id,
    fence: running.phase.fence,
    seenAgeMs: nowMs - seenAtMs,
    ended: endedAtMs === null ? null : { ageMs: nowMs - endedAtMs, how: running.leftAs() ?? ('stopped' as const) },
  });
}
