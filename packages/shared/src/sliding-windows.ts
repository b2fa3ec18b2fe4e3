// Rate limits of several windows: how many units may be taken now, and what is used after taking them. Pure; whoever keeps what is used
// hands it in and writes it back, under the lock or the comparison that makes the two one step.
//
// The algorithm is the sliding window log (timestamps of what was taken, https://blog.cloudflare.com/counting-things-a-lot-of-different-things/,
// "sliding logs") with its entries gathered in slots of a sixteenth of the window, each as late as its latest unit. So it errs to one side only:
// no span of the window's length ever sees more than `max`, and a unit comes back at most a sixteenth of the window later than it should.
// Limits of at most 16 units are exact. The sliding window counter of the same article and GCRA would let nearly twice `max` through in a
// span that begins with a burst, which the services that such limits protect would refuse.

/** At most `max` units in any span of `perMs`. */
export type SlidingWindow = { max: number; perMs: number };

/** What was taken from a window: [when, in milliseconds, the latest of them, how many], oldest first. */
export type UsedOfWindow = { perMs: number; taken: readonly (readonly [atMs: number, units: number])[] };

/**
 * A limit as it is kept. `used` is matched to windows by their length: of a window with a new length nothing is used. What is kept of other
 * lengths belongs to definitions that have other windows under the same name: it goes on being counted for them.
 */
export type WindowedLimit = { windows: readonly SlidingWindow[]; used: readonly UsedOfWindow[] };

export type TakenTokens = {
  taken: boolean;
  /** To be kept: with the units, if they were taken, and without what no window counts any more. */
  used: UsedOfWindow[];
  /** When the same number may be there, if nobody else takes any: now if they were taken, null if a window never holds that many. */
  retryAtMs: number | null;
};

const SLOTS = 16;

/**
 * Takes `units` (a whole number, at least 1) from all windows, or from none. `nowMs` must come from one clock for all who share the limit;
 * when that clock is set back, what was taken in its future counts as taken now.
 */
export function takeTokens(limit: WindowedLimit, units: number, nowMs: number): TakenTokens {
  const states = limit.windows.map((window) => stateOf(window, limit.used, nowMs));
  const taken = states.every(({ window, taken: log }) => unitsOf(log) + units <= window.max);
  const used = [...states, ...othersOf(limit, nowMs)].map(({ window, taken: log }) => ({
    perMs: window.perMs,
    taken: taken ? withUnits(window, log, [nowMs, units]) : log,
  }));
  return { taken, used, retryAtMs: taken ? nowMs : latestOf(states.map((state) => freeAtMs(state, units))) };
}

/** How many units could be taken now. */
export function freeTokens(limit: WindowedLimit, nowMs: number): number {
  const free = limit.windows.map((window) => window.max - unitsOf(stateOf(window, limit.used, nowMs).taken));
  return Math.max(0, Math.min(...free));
}

/** What is still counted of what was used; nothing when the limit is as good as new. */
export function countedTokens(used: readonly UsedOfWindow[], nowMs: number): UsedOfWindow[] {
  return used
    .map(({ perMs, taken }) => ({ perMs, taken: taken.filter(([atMs]) => atMs + perMs > nowMs) }))
    .filter(({ taken }) => taken.length > 0);
}

/** When nothing of it is counted any more, in milliseconds; null when nothing is used. */
export function emptyAtMsOf(used: readonly UsedOfWindow[]): number | null {
  const ends = used.flatMap(({ perMs, taken }) => taken.slice(-1).map(([atMs]) => atMs + perMs));
  return ends.length === 0 ? null : Math.max(...ends);
}

/** When to come again, and the line with that place taken. */
export type PlaceInLine = { atMs: number; line: UsedOfWindow[] };

/**
 * For who is refused and goes away: when the units will be there after all who were sent away before have taken theirs. Null: never. So those
 * who wait come back when it is their turn instead of all for the same few units. A place is no right: who comes in between may be faster.
 * @param line what the limit will look like when the last in line has come, kept from place to place; it is bounded as `used` is.
 */
export function standInLine(
  limit: WindowedLimit,
  line: readonly UsedOfWindow[],
  { units, nowMs }: { units: number; nowMs: number },
): PlaceInLine | null {
  const { retryAtMs } = takeTokens(limit, units, nowMs);
  if (retryAtMs === null) return null;
  const lastMs = Math.max(0, ...line.flatMap(({ taken }) => taken.slice(-1).map(([atMs]) => atMs)));
  const ahead = { windows: limit.windows, used: lastMs > nowMs ? line : limit.used };
  const earliestMs = Math.max(retryAtMs, lastMs);
  const atMs = takeTokens(ahead, units, earliestMs).retryAtMs ?? earliestMs;
  return { atMs, line: takeTokens(ahead, units, atMs).used };
}

type Entry = UsedOfWindow['taken'][number];
type WindowState = { window: SlidingWindow; taken: readonly Entry[] };

function stateOf(window: SlidingWindow, used: readonly UsedOfWindow[], nowMs: number): WindowState {
  const log = used.find(({ perMs }) => perMs === window.perMs)?.taken ?? [];
  const counted = log.filter(([atMs]) => atMs + window.perMs > nowMs);
  return { window, taken: counted.map(([atMs, units]) => [Math.min(atMs, nowMs), units]) };
}

// An empty log counts nothing, so it is not kept.
function othersOf({ windows, used }: WindowedLimit, nowMs: number): WindowState[] {
  const own = new Set(windows.map(({ perMs }) => perMs));
  return used
    .filter(({ perMs }) => !own.has(perMs))
    .map(({ perMs }) => stateOf({ max: Number.MAX_SAFE_INTEGER, perMs }, used, nowMs))
    .filter(({ taken }) => taken.length > 0);
}

function unitsOf(log: readonly Entry[]): number {
  return log.reduce((sum, [, units]) => sum + units, 0);
}

function withUnits(window: SlidingWindow, log: readonly Entry[], [nowMs, units]: Entry): Entry[] {
  const newest = log.at(-1);
  return newest !== undefined && slotOf(window, newest[0]) === slotOf(window, nowMs)
    ? [...log.slice(0, -1), [nowMs, newest[1] + units]]
    : [...log, [nowMs, units]];
}

function slotOf({ max, perMs }: SlidingWindow, atMs: number): number {
  return max <= SLOTS ? atMs : Math.floor((atMs * SLOTS) / perMs);
}

/** When the oldest entries that are in the way are no longer counted. */
function freeAtMs({ window, taken }: WindowState, units: number): number | null {
  if (units > window.max) return null;
  let over = unitsOf(taken) + units - window.max;
  let freeAt = 0;
  for (const [atMs, used] of taken) {
    if (over <= 0) break;
    over -= used;
    freeAt = atMs + window.perMs;
  }
  return freeAt;
}

function latestOf(instants: readonly (number | null)[]): number | null {
  return instants.includes(null) ? null : Math.max(...instants.map((atMs) => atMs ?? 0));
}
