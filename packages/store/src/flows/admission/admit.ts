// Admission as one pass: what waits under a concurrency key or for a rate limit is let go as far as it may. Woken by doorbells, never by
// looking through all keys; any number of processes may do it at the same time.
import type { Database } from '../../database.ts';
import { admitLimits } from './admit-limits.ts';
import { admitRates, type KnownLimits } from './admit-rates.ts';
import { nextDoorbell } from './due-keys.ts';

export type AdmissionOutcome = {
  /** Flows and phases that were let go. */
  admitted: number;
  /** Until the next doorbell that is known now, in milliseconds; 0 when one is due, null when there is none. */
  waitMs: number | null;
};

/** @param limits the rate limits that this process knows; others are left to other processes */
export async function admitDue(database: Pick<Database, 'main'>, limits: KnownLimits): Promise<AdmissionOutcome> {
  const rates = [...limits.keys()];
  const waitMs = await nextDoorbell(database.main, rates);
  if (waitMs === null || waitMs > 0) return { admitted: 0, waitMs };
  // One transaction each: both lock flows in the order of their ids.
  const byLimit = await admitLimits(database);
  const byRate = await admitRates(database, limits);
  const next = await nextDoorbell(database.main, rates);
  return { admitted: byLimit.admitted + byRate.admitted, waitMs: next === null ? null : Math.max(0, next) };
}
