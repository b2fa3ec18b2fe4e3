// Which times of a schedule have come since somebody last dealt with it. Pure.
import { runAfter, type StoredSchedule } from './stored-schedule.ts';

export type DueTimes = {
  /** In order; the first is the schedule's own next_at. */
  dueMs: number[];
  /** The first time after these; null when there is none. */
  nextAt: Date | null;
  /** Whether that has come as well: there are more than were asked for. */
  isCut: boolean;
};

/** `handledAt`: the last time that is known to be dealt with. `max`: how many to find at most; each costs about 30 us of the event loop. */
export type DueTimesLimits = { handledAt: Date | null; max: number };

/** What has come until `now`, without what was dealt with. */
export function dueTimes(
  schedule: Pick<StoredSchedule, 'cron' | 'timezone' | 'next_at'>,
  now: Date,
  { handledAt, max }: DueTimesLimits,
): DueTimes {
  const dueMs: number[] = [];
  let nextAt = schedule.next_at;
  // Set back by hand, or computed while the clock was behind: no time is fired twice all the same.
  if (handledAt !== null && nextAt !== null && nextAt <= handledAt) nextAt = runAfter(schedule, handledAt);
  while (nextAt !== null && nextAt <= now && dueMs.length < max) {
    dueMs.push(nextAt.getTime());
    nextAt = runAfter(schedule, nextAt);
  }
  return { dueMs, nextAt, isCut: nextAt !== null && nextAt <= now };
}
