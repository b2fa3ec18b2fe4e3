// The arithmetic of rate limits: how many tokens may be taken now, and when the next is there. Pure.
//
// A sliding window log in slots, after Figma's "An alternative approach to rate limiting" (2017), which counts in sixtieths of a window.
// Of the slot that the window's edge cuts through, all is counted, by the time of its last token: in no period of that length are ever more than `max` taken
// (which a window counter with interpolation, a token bucket or GCRA would allow), and a token comes back a sixtieth late at worst.

/** So many tokens in each period, in milliseconds. */
export type TokenWindow = { max: number; perMs: number };
/** When tokens were taken, ascending; several of one slot are one entry at the time of the last. */
export type TokenLog = readonly (readonly [atMs: number, tokens: number])[];
/** What was taken: the n-th log belongs to the n-th window. */
export type TokenState = { windows: readonly TokenWindow[]; logs: readonly TokenLog[] };

export type TokensTaken = {
  taken: number;
  logs: TokenLog[];
  /** When `least` tokens are there, in milliseconds since 1970; the present when they are now. */
  nextAtMs: number;
  /** When everything that is logged has run out; null when nothing is. */
  emptyAtMs: number | null;
};

const SLOTS = 60;

/**
 * Takes up to `wanted` tokens from all windows at once, and none when fewer than `least` are there.
 * `windows` may differ from those of the state: what was taken before is carried over as far as it is known.
 * @throws RangeError when a window can never hold `least` tokens.
 */
export function takeTokens(
  state: TokenState,
  windows: readonly TokenWindow[],
  ask: { nowMs: number; wanted: number; least: number },
): TokensTaken {
  const tightest = Math.min(...windows.map((window) => window.max));
  if (ask.least > tightest) throw new RangeError(`${ask.least} tokens can never be taken from a limit of ${tightest}`);
  // Clocks of two sessions may disagree by a little; the log's never goes back.
  const nowMs = Math.max(ask.nowMs, ...state.logs.map((log) => log.at(-1)?.[0] ?? 0));
  const before = windows.map((window) => logOf(state, window).filter(([atMs]) => atMs > nowMs - window.perMs));
  const free = Math.min(...windows.map((window, index) => window.max - sumOf(before[index] ?? [])));
  const taken = free < ask.least ? 0 : Math.min(free, ask.wanted);
  const logs = windows.map((window, index) => append(before[index] ?? [], { atMs: nowMs, taken, slotMs: window.perMs / SLOTS }));
  const ends = windows.map((window, index) => (logs[index]?.at(-1)?.[0] ?? -Infinity) + window.perMs);
  const emptyAtMs = Math.max(...ends);
  return {
    taken,
    logs,
    nextAtMs: Math.max(nowMs, ...windows.map((window, index) => freeAt(logs[index] ?? [], window, ask.least))),
    emptyAtMs: Number.isFinite(emptyAtMs) ? emptyAtMs : null,
  };
}

// A window that is new takes what the longest of the others knows.
function logOf({ windows, logs }: TokenState, { perMs }: TokenWindow): TokenLog {
  const same = windows.findIndex((window) => window.perMs === perMs);
  const longest = windows.reduce((best, window, index) => (window.perMs > (windows[best]?.perMs ?? 0) ? index : best), 0);
  return logs[same < 0 ? longest : same] ?? [];
}

function sumOf(log: TokenLog): number {
  return log.reduce((sum, [, tokens]) => sum + tokens, 0);
}

function append(log: TokenLog, { atMs, taken, slotMs }: { atMs: number; taken: number; slotMs: number }): TokenLog {
  if (taken === 0) return log;
  const last = log.at(-1);
  return last !== undefined && Math.floor(last[0] / slotMs) === Math.floor(atMs / slotMs)
    ? [...log.slice(0, -1), [atMs, last[1] + taken]]
    : [...log, [atMs, taken]];
}

// When enough of the oldest has left the window for `least` tokens.
function freeAt(log: TokenLog, { max, perMs }: TokenWindow, least: number): number {
  let missing = sumOf(log) + least - max;
  for (const [atMs, tokens] of log) {
    if (missing <= 0) break;
    missing -= tokens;
    if (missing <= 0) return atMs + perMs;
  }
  return -Infinity;
}
