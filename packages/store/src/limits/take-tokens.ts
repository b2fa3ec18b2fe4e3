// Takes units of rate limits for handlers. What is used of a limit is one row, shared by all processes and by the dispatch of phases; it is
// changed by comparing and swapping, so that no process holds its lock while that process is busy with something else.
import { AppError, emptyAtMsOf, standInLine, takeTokens, type SlidingWindow, type UsedOfWindow } from '@millrace/shared';
import type { Queryable } from '../database.ts';

/** `lineUpAfterMs`: who would have to wait for longer than this stands in line with the others who went away. Null: never. */
export type TokenRequest = {
  workspace: string;
  key: string;
  windows: readonly SlidingWindow[];
  units: number;
  lineUpAfterMs: number | null;
};

/**
 * `retryInMs`: when the units may be there if nobody else takes any, or when it is the turn of who stands in line; null: the limit never holds
 * that many at once.
 */
export type TokenAnswer = { taken: true } | { taken: false; retryInMs: number | null };

type LimitState = { used: readonly UsedOfWindow[]; line: readonly UsedOfWindow[] };
/** `used` is null of a limit that nobody uses. */
type Limit = { workspace: string; key: string; used: UsedOfWindow[] | null; line: UsedOfWindow[] | null; now_ms: number };

/** More processes than this do not change one limit at the same moment. */
const TRIES_MAX = 50;

const READ = `
SELECT a.workspace, a.key, r.used, r.line, floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms
FROM unnest($1::text[], $2::text[]) AS a (workspace, key) LEFT JOIN millrace.rate_limits r ON r.workspace = a.workspace AND r.key = a.key`;

// Rows are first written, then locked, both in the order of their keys, so that none of those who do this ever wait for each other.
// Who writes a row rings for the time when it can go.
const SWAP = `
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::jsonb[], $8::float8[])
    AS a (workspace, key, windows, used_before, line_before, used, line, empty_at_ms)
), added AS (
  INSERT INTO millrace.rate_limits (workspace, key, windows, used, line)
  SELECT workspace, key, windows, used, line FROM asked WHERE used_before IS NULL ORDER BY workspace, key
  ON CONFLICT (workspace, key) DO NOTHING
  RETURNING workspace, key
), rung AS (
  INSERT INTO millrace.admissions (workspace, kind, key, next_at)
  SELECT a.workspace, 'rate', a.key, to_timestamp(a.empty_at_ms / 1000) FROM added n JOIN asked a ON a.workspace = n.workspace AND a.key = n.key
), locked AS MATERIALIZED (
  SELECT r.workspace, r.key, r.used, r.line FROM millrace.rate_limits r JOIN asked a ON a.workspace = r.workspace AND a.key = r.key
  WHERE a.used_before IS NOT NULL AND (SELECT count(*) FROM added) IS NOT NULL
  ORDER BY r.workspace, r.key FOR UPDATE OF r
), swapped AS (
  UPDATE millrace.rate_limits r SET windows = a.windows, used = a.used, line = a.line
  FROM asked a JOIN locked l ON l.workspace = a.workspace AND l.key = a.key AND l.used = a.used_before AND l.line = a.line_before
  WHERE r.workspace = a.workspace AND r.key = a.key
  RETURNING r.workspace, r.key
)
SELECT workspace, key FROM swapped UNION ALL SELECT workspace, key FROM added`;

/**
 * Answers each request in order; of one limit the first ones are served first. A request whose answer is lost may have taken its units.
 * @throws AppError dependency-unavailable when others change a limit all the time.
 */
export async function takeFromLimits(on: Queryable, requests: readonly TokenRequest[]): Promise<TokenAnswer[]> {
  const answers = new Map<TokenRequest, TokenAnswer>();
  let open = Map.groupBy(requests, idOf);
  for (let tries = 0; open.size > 0; tries += 1) {
    if (tries >= TRIES_MAX) throw new AppError('dependency-unavailable', { detail: 'A rate limit is changed by too many at once.' });
    open = await serve(on, open, answers);
  }
  return requests.map((request) => answers.get(request) ?? { taken: false, retryInMs: null });
}

/** Answers what is left to be served, because someone else has changed those limits meanwhile. */
async function serve(
  on: Queryable,
  open: Map<string, TokenRequest[]>,
  answers: Map<TokenRequest, TokenAnswer>,
): Promise<Map<string, TokenRequest[]>> {
  const groups = [...open.values()].flatMap((group) => group.slice(0, 1));
  const limits = await on.query<Limit>({
    name: 'read-rate-limits',
    text: READ,
    values: [groups.map(({ workspace }) => workspace), groups.map(({ key }) => key)],
  });
  const served = limits.rows.map((limit) => ({ limit, ...answerInOrder(limit, open.get(idOf(limit)) ?? []) }));
  const kept = await swap(
    on,
    served.filter(({ changed }) => changed),
  );
  const left = new Map<string, TokenRequest[]>();
  for (const { limit, requests, changed, answers: given } of served) {
    const id = idOf(limit);
    if (changed && !kept.has(id)) left.set(id, requests);
    else requests.forEach((request, index) => answers.set(request, given[index] ?? { taken: false, retryInMs: null }));
  }
  return left;
}

/** `changed`: the state is another one now. */
type Served = { limit: Limit; requests: TokenRequest[]; answers: TokenAnswer[]; state: LimitState; changed: boolean };

function answerInOrder(limit: Limit, requests: TokenRequest[]): Omit<Served, 'limit'> {
  const before: LimitState = { used: limit.used ?? [], line: limit.line ?? [] };
  let state = before;
  const answers = requests.map((request) => {
    const { answer, after } = answerOne(state, request, limit.now_ms);
    state = after;
    return answer;
  });
  return { requests, answers, state, changed: state !== before };
}

function answerOne(state: LimitState, request: TokenRequest, nowMs: number): { answer: TokenAnswer; after: LimitState } {
  const { windows, units, lineUpAfterMs } = request;
  const limit = { windows, used: state.used };
  const { taken, used, retryAtMs } = takeTokens(limit, units, nowMs);
  if (taken) return { answer: { taken: true }, after: { ...state, used } };
  if (retryAtMs === null) return { answer: { taken: false, retryInMs: null }, after: state };
  const place = lineUpAfterMs === null || retryAtMs - nowMs <= lineUpAfterMs ? null : standInLine(limit, state.line, { units, nowMs });
  return place === null
    ? { answer: { taken: false, retryInMs: retryAtMs - nowMs }, after: state }
    : { answer: { taken: false, retryInMs: place.atMs - nowMs }, after: { ...state, line: place.line } };
}

async function swap(on: Queryable, changed: readonly Served[]): Promise<Set<string>> {
  if (changed.length === 0) return new Set();
  const result = await on.query<{ workspace: string; key: string }>({
    name: 'swap-rate-limits',
    text: SWAP,
    values: [
      changed.map(({ limit }) => limit.workspace),
      changed.map(({ limit }) => limit.key),
      changed.map(({ requests }) => JSON.stringify(requests.at(-1)?.windows)),
      changed.map(({ limit }) => (limit.used === null ? null : JSON.stringify(limit.used))),
      changed.map(({ limit }) => JSON.stringify(limit.line ?? [])),
      changed.map(({ state }) => JSON.stringify(state.used)),
      changed.map(({ state }) => JSON.stringify(state.line)),
      changed.map(({ state }) => emptyAtMsOf(state.used)),
    ],
  });
  return new Set(result.rows.map(idOf));
}

// Neither part can hold NUL.
function idOf({ workspace, key }: { workspace: string; key: string }): string {
  return `${workspace}\0${key}`;
}
