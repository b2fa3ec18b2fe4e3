// Tells the workers that something waits for them in PostgreSQL, so that they need not find out by themselves. Best effort, and no more often
// than they could look: a ring that is lost costs a quarter of a second.
import type { Logger } from '@millrace/process';
import type { ControlMessage } from '@millrace/redis';

/** admissions: something waits for a place under a concurrency key or for a rate limit. backlog: ready phases wait for a place in the queue. */
export type RungFor = Exclude<ControlMessage['type'], 'cancel' | 'code'>;

export type WorkerBell = { ring(what: RungFor): void };

/** The first ring is heard at once; those of the next milliseconds are heard as one. */
const SPACING_MS = 20;

export function createWorkerBell({ publish, log }: { publish(message: ControlMessage): Promise<void>; log: Logger }): WorkerBell {
  const quiet = new Set<RungFor>();
  const again = new Set<RungFor>();
  const ring = (what: RungFor) => {
    if (quiet.has(what)) {
      again.add(what);
      return;
    }
    quiet.add(what);
    setTimeout(() => {
      quiet.delete(what);
      if (again.delete(what)) ring(what);
    }, SPACING_MS).unref();
    publish({ type: what }).catch((error: unknown) => {
      log.debug({ err: error, what }, 'the workers could not be rung');
    });
  };
  return { ring };
}
