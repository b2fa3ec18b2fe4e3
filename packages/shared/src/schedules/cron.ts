// When a cron expression comes due. Pure: every instant is given, the local clock and zone play no part. The arithmetic is croner's.
import { Cron } from 'croner';

/** Five fields (minute, hour, day of month, month, day of week) and the IANA time zone they are read in. */
export type CronRule = { cron: string; timezone: string };

export type CronFault = { field: 'cron' | 'timezone'; message: string };

const FIELDS = ['minute', 'hour', 'day-of-month', 'month', 'day-of-week'] as const;
const CRON_CHARS_MAX = 256;
const ZONE_CHARS_MAX = 64;
/** Digits, names, lists, ranges, steps, and L, W and #. Without ?, + and @, which other crons read in other ways. */
const FIELD_PATTERN = /^[0-9A-Za-z*,/#-]+$/;
/** Names only: an offset would not know about daylight saving, and is not understood everywhere. */
const ZONE_PATTERN = /^[A-Za-z][A-Za-z0-9_+/-]*$/;
/** Any instant will do to find out whether an expression comes due at all: there is no field for the year. */
const SOME_DAY = new Date(Date.UTC(2000, 0, 1));

/** What is wrong with a rule: no five fields, a value out of range, a time zone nobody knows, or a day that never comes. Null: nothing. */
export function cronFault({ cron, timezone }: CronRule): CronFault | null {
  if (!isTimeZone(timezone)) return { field: 'timezone', message: 'must be the IANA name of a time zone, such as Europe/Berlin or UTC' };
  const fields = cron.trim().split(/[ \t]+/);
  if (fields.length !== FIELDS.length || cron.length > CRON_CHARS_MAX)
    return { field: 'cron', message: `must have five fields: ${FIELDS.join(' ')}` };
  const bad = FIELDS.find((_, index) => !isField(fields[index] ?? '', index));
  if (bad !== undefined) return { field: 'cron', message: `its field ${bad} is not valid` };
  try {
    return nextRuns({ cron, timezone }, SOME_DAY, 1).length > 0 ? null : { field: 'cron', message: 'never comes due' };
  } catch {
    return { field: 'cron', message: 'is not valid' };
  }
}

/**
 * The next `count` times strictly after `after`, earliest first; fewer when there are no more.
 *
 * When the clock goes forward, a time in the gap is fired at the gap's end if minute and hour are plain numbers, lists or ranges, and is left
 * out if either has `*` or a step. When the clock goes back, a time that comes twice is fired once, at its first coming, in the first case and
 * both times in the second. So `30 2 * * *` runs exactly once every day, and a step of 30 minutes every half hour that passes. This is Vixie cron's rule.
 * @throws Error when the rule has a fault
 */
export function nextRuns({ cron, timezone }: CronRule, after: Date, count: number): Date[] {
  return cronOf(cron, timezone).nextRuns(count, after);
}

function cronOf(cron: string, timezone: string): Cron {
  return new Cron(cron.trim(), { mode: '5-part', timezone, fixedTimeRule: 'no-wildcard' });
}

function isField(text: string, index: number): boolean {
  if (!FIELD_PATTERN.test(text)) return false;
  const others = FIELDS.map((_, position) => (position === index ? text : '*'));
  try {
    cronOf(others.join(' '), 'UTC');
    return true;
  } catch {
    return false;
  }
}

function isTimeZone(name: string): boolean {
  if (name.length > ZONE_CHARS_MAX || !ZONE_PATTERN.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone.length > 0;
  } catch {
    return false;
  }
}
