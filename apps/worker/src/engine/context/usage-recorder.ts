// ctx.usage: what handlers consume is summed up in the process, written about every second and before an attempt's end is committed.
// It counts whatever becomes of the attempt, for the key that started the flow.
import type { Clock, Logger } from '@millrace/process';
import { AppError } from '@millrace/shared';
import { PermanentError } from '@millrace/sdk';
import { addUsage, isTransient, type ClaimedPhase, type Database, type UsageFlush, type UsedAmount } from '@millrace/store';
import { throughOutage } from '../through-outage.ts';

export type UsageRecorder = {
  /** What one attempt consumes. */
  forAttempt(phase: Pick<ClaimedPhase, 'flowId'>): AttemptUsage;
  /** Writes everything recorded before. Never fails: what cannot be written now is kept for the next flush. */
  flush(): Promise<void>;
};

export type AttemptUsage = {
  /** @throws PermanentError for a kind or an amount that is none. @throws AppError dependency-unavailable when too much waits to be written. */
  record(kind: string, amount: number): void;
  /** Writes what this attempt recorded; nothing to do when it recorded nothing. */
  flush(): Promise<void>;
};

const FLUSH_EVERY_MS = 1_000;
const KIND_PATTERN = /^[a-z][a-z0-9_]{0,39}$/;
const KINDS_MAX = 32;
/** Sums that may wait while PostgreSQL is away. */
const WAITING_MAX = 50_000;
/** Of one statement. */
const AMOUNTS_MAX = 5_000;

export function createUsageRecorder(deps: {
  database: Pick<Database, 'main'>;
  clock: Pick<Clock, 'nowMs'>;
  log: Logger;
  /** Unique for this process. */
  source: string;
}): UsageRecorder {
  const waiting = new Map<string, UsedAmount>();
  const sender = createFlushSender(deps);
  let timer: NodeJS.Timeout | undefined;
  const writeAll = async () => {
    clearTimeout(timer);
    timer = undefined;
    while (sender.isInDoubt() || waiting.size > 0) {
      const amounts = sender.isInDoubt() ? [] : takeFirst(waiting);
      if (await sender.send(amounts)) continue;
      schedule();
      return;
    }
  };
  const flush = createShared(writeAll);
  const schedule = () => {
    timer ??= setTimeout(() => {
      void flush();
    }, FLUSH_EVERY_MS).unref();
  };
  const add = (flowId: string, kind: string, amount: number) => {
    const day = new Date(deps.clock.nowMs()).toISOString().slice(0, 10);
    const key = `${flowId} ${day} ${kind}`;
    const sum = waiting.get(key)?.amount ?? 0;
    if (sum === 0 && waiting.size >= WAITING_MAX)
      throw new AppError('dependency-unavailable', { detail: 'Too much usage waits to be written.' });
    waiting.set(key, { flowId, day, kind, amount: Math.min(Number.MAX_VALUE, sum + amount) });
    schedule();
  };
  return {
    flush,
    forAttempt: ({ flowId }) => {
      const kinds = new Set<string>();
      return {
        record: (kind, amount) => {
          requireUsage(kinds, kind, amount);
          kinds.add(kind);
          if (amount > 0) add(flowId, kind, amount);
        },
        flush: () => (kinds.size === 0 ? Promise.resolve() : flush()),
      };
    },
  };
}

function requireUsage(kinds: ReadonlySet<string>, kind: string, amount: number): void {
  if (!KIND_PATTERN.test(kind)) throw new PermanentError('a kind of usage must match [a-z][a-z0-9_]{0,39}');
  if (!Number.isFinite(amount) || amount < 0) throw new PermanentError(`usage of ${kind} must be a finite number of at least 0`);
  if (!kinds.has(kind) && kinds.size >= KINDS_MAX) throw new PermanentError(`an attempt may record at most ${KINDS_MAX} kinds of usage`);
}

function takeFirst(waiting: Map<string, UsedAmount>): UsedAmount[] {
  const taken = [...waiting].slice(0, AMOUNTS_MAX);
  for (const [key] of taken) waiting.delete(key);
  return taken.map(([, amount]) => amount);
}

type FlushSender = {
  /** Whether the last flush may or may not have been written: nothing else can be sent before it. */
  isInDoubt(): boolean;
  /** Sends the flush that is in doubt, or else a new one. False when PostgreSQL is away. */
  send(amounts: readonly UsedAmount[]): Promise<boolean>;
};

function createFlushSender({ database, log, source }: { database: Pick<Database, 'main'>; log: Logger; source: string }): FlushSender {
  let seq = 0;
  let inDoubt: UsageFlush | undefined;
  return {
    isInDoubt: () => inDoubt !== undefined,
    send: async (amounts) => {
      inDoubt ??= { source, seq: (seq += 1), amounts };
      const flush = inDoubt;
      try {
        await throughOutage(() => addUsage(database.main, flush));
        inDoubt = undefined;
        return true;
      } catch (error) {
        if (isTransient(error)) return false;
        // It would be refused for ever, and everything later with it.
        log.error({ err: error, amounts: flush.amounts.length }, 'usage was not written');
        inDoubt = undefined;
        return true;
      }
    },
  };
}

/** Calls that come while one waits to begin share it; one at a time is under way. */
function createShared(work: () => Promise<void>): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  return () => {
    next ??= last.then(() => {
      next = undefined;
      last = work();
      return last;
    });
    return next;
  };
}
