// Whether a caller may make one more request this minute. What concurrent requests need to know is asked of Redis in one call; who has no
// limit is not asked about. Without Redis everybody is let in: a limit that nobody can count must not become an outage.
import { createMicroBatcher, withTimeout, type Clock, type Logger } from '@millrace/process';
import type { AskedRequests, RequestCounter } from '@millrace/redis';

/** `key`: where Redis counts the requests of this caller. `perMinute`: 0 for no limit. */
export type RequestSubject = { key: string; perMinute: number };

export type RequestVerdict = {
  allowed: boolean;
  perMinute: number;
  /** Requests that may still be made now. */
  left: number;
  /** When there will be room for more, in seconds. */
  freeInSeconds: number;
};

export type RequestLimiter = {
  /** Counts a request of this caller. Never fails. */
  admit(subject: RequestSubject): RequestVerdict | Promise<RequestVerdict>;
  /** Requests that were let in without being counted, because Redis did not answer. */
  uncounted(): number;
};

export type RequestLimiterDeps = {
  counter: RequestCounter;
  isRedisReady(): boolean;
  clock: Clock;
  log: Logger;
};

export const WINDOW_SECONDS = 60;
/** A request does not wait longer than this for its count. */
const ANSWER_MS = 250;
/** After a count that failed nobody waits for another for so long. */
const BLIND_MS = 1_000;
const LOG_EVERY_MS = 10_000;
const BATCH = { batchMax: 1_000, inFlightMax: 1, pendingMax: 20_000 };

export function createRequestLimiter(deps: RequestLimiterDeps): RequestLimiter {
  const { clock, log } = deps;
  let blindUntilMs = Number.NEGATIVE_INFINITY;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let uncounted = 0;
  const batcher = createMicroBatcher<RequestSubject, RequestVerdict>({
    ...BATCH,
    send: (subjects) => withTimeout(countAll(deps.counter, subjects), ANSWER_MS),
  });
  const letIn = (subject: RequestSubject): RequestVerdict => {
    uncounted += 1;
    return unlimited(subject);
  };
  const onFailure = (error: unknown) => {
    blindUntilMs = clock.monotonicMs() + BLIND_MS;
    if (clock.monotonicMs() - loggedAtMs < LOG_EVERY_MS) return;
    loggedAtMs = clock.monotonicMs();
    log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'requests are let in without being counted');
  };
  return {
    uncounted: () => uncounted,
    admit: (subject) => {
      if (subject.perMinute === 0) return unlimited(subject);
      if (!deps.isRedisReady() || clock.monotonicMs() < blindUntilMs) return letIn(subject);
      return batcher.add(subject).catch((error: unknown) => {
        onFailure(error);
        return letIn(subject);
      });
    },
  };
}

function unlimited({ perMinute }: RequestSubject): RequestVerdict {
  return { allowed: true, perMinute, left: perMinute, freeInSeconds: WINDOW_SECONDS };
}

/** Requests of one caller are counted together; the first of them get what room there is. */
async function countAll(counter: RequestCounter, subjects: readonly RequestSubject[]): Promise<RequestVerdict[]> {
  const asked = new Map<string, AskedRequests>();
  const places = subjects.map(({ key, perMinute }) => {
    const before = asked.get(key)?.asked ?? 0;
    asked.set(key, { key, max: perMinute, asked: before + 1 });
    return before;
  });
  const answers = await counter.count([...asked.values()]);
  const byKey = new Map([...asked.keys()].map((key, index) => [key, answers[index]]));
  return subjects.map(({ key, perMinute }, index) => {
    const { counted = 0, left = 0, freeInMs = 0 } = byKey.get(key) ?? {};
    const place = places[index] ?? 0;
    const allowed = place < counted;
    return { allowed, perMinute, left: allowed ? left + counted - 1 - place : 0, freeInSeconds: Math.max(1, Math.ceil(freeInMs / 1_000)) };
  });
}
