// Takes units of rate limits for handlers. What is used of a limit is one row, shared by all processes and by the dispatch of phases; it is
// changed by comparing and swapping, so that no process holds its lock while that process is busy with something else.
import { AppError, takeTokens, type SlidingWindow, type UsedOfWindow } from '@millrace/shared';
import type { Queryable } from '../database.ts';

export type TokenRequest = { workspace: string; key: string; windows: readonly SlidingWindow[]; units: number };

/** `retryInMs`: when the units may be there, if nobody else takes any; null: the limit never holds that many at once. */
export type TokenAnswer = { taken: true } | { taken: false; retryInMs: number | null };

type Limit = { workspace: string; key: string; used: UsedOfWindow[] | null; now_ms: number };

/** More processes than this do not change one limit at the same moment. */
const TRIES_MAX = 50;

const READ = `
SELECT a.workspace, a.key, r.used, floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms
FROM unnest($1::text[], $2::text[]) AS a (workspace, key) LEFT JOIN millrace.rate_limits r ON r.workspace = a.workspace AND r.key = a.key`;

// Rows are locked in the order of their keys, so that two of these never wait for each other.
const SWAP = `
WITH asked AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[]) AS a (workspace, key, windows, before, used)
), locked AS (
  SELECT r.workspace, r.key, r.used FROM millrace.rate_limits r JOIN asked a ON a.workspace = r.workspace AND a.key = r.key
  ORDER BY r.workspace, r.key FOR UPDATE OF r
), swapped AS (
  UPDATE millrace.rate_limits r SET windows = a.windows, used = a.used
  FROM asked a JOIN locked l ON l.workspace = a.workspace AND l.key = a.key AND l.used = a.before
  WHERE r.workspace = a.workspace AND r.key = a.key
  RETURNING r.workspace, r.key
), added AS (
  INSERT INTO millrace.rate_limits (workspace, key, windows, used)
  SELECT workspace, key, windows, used FROM asked WHERE before IS NULL ORDER BY workspace, key
  ON CONFLICT (workspace, key) DO NOTHING
  RETURNING workspace, key
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
  const served = limits.rows.map((limit) => ({ limit, ...takeInOrder(limit, open.get(idOf(limit)) ?? []) }));
  const changed = served.filter(({ answers: given }) => given.some((answer) => answer.taken));
  const kept = await swap(on, changed);
  const left = new Map<string, TokenRequest[]>();
  for (const { limit, requests, answers: given } of served) {
    const id = idOf(limit);
    if (given.some((answer) => answer.taken) && !kept.has(id)) left.set(id, requests);
    else requests.forEach((request, index) => answers.set(request, given[index] ?? { taken: false, retryInMs: null }));
  }
  return left;
}

type Served = { limit: Limit; requests: TokenRequest[]; used: readonly UsedOfWindow[]; answers: TokenAnswer[] };

function takeInOrder(limit: Limit, requests: TokenRequest[]): Omit<Served, 'limit'> {
  let used: readonly UsedOfWindow[] = limit.used ?? [];
  const answers = requests.map(({ windows, units }): TokenAnswer => {
    const outcome = takeTokens({ windows, used }, units, limit.now_ms);
    if (!outcome.taken) return { taken: false, retryInMs: outcome.retryAtMs === null ? null : outcome.retryAtMs - limit.now_ms };
    used = outcome.used;
    return { taken: true };
  });
  return { requests, used, answers };
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
      changed.map(({ used }) => JSON.stringify(used)),
    ],
  });
  return new Set(result.rows.map(idOf));
}

// Neither part can hold NUL.
function idOf({ workspace, key }: { workspace: string; key: string }): string {
  return `${workspace}\0${key}`;
}
