// Lets phases out to the dispatcher as their rate limit allows, most urgent first; and gives tokens of the same limits to handlers that ask.
// Tokens are taken at dispatch: what waits for a busy worker afterwards has its token already.
import { AppError } from '@millrace/shared';
import { inTransaction, type Database, type Queryable } from '../../database.ts';
import { columnsOf, ring, takeDueKeys, type AdmissionKey } from './due-keys.ts';
import { takeTokens, type TokenLog, type TokensTaken, type TokenState, type TokenWindow } from './take-tokens.ts';

const KEYS_MAX = 20;
const LOCK_TRIES = 3;
/** Phases of one key that one pass lets out. */
const PHASES_PER_KEY_MAX = 200;

/** Windows of the limits that this process knows, by name: what stands before the first colon of a key. */
export type KnownLimits = ReadonlyMap<string, readonly TokenWindow[]>;

type RatedKey = AdmissionKey & { windows: readonly TokenWindow[] };
type LockedKey = RatedKey & { state: TokenState; nowMs: number };

/** Decides about due keys. Answers how many phases were let out and how many keys were looked at. */
export async function admitRates(database: Pick<Database, 'main'>, limits: KnownLimits): Promise<{ keys: number; admitted: number }> {
  if (limits.size === 0) return { keys: 0, admitted: 0 };
  return inTransaction(database.main, async (client) => {
    const due = await takeDueKeys(client, 'rate', { rates: [...limits.keys()], limit: KEYS_MAX });
    const keys = await lockStates(
      client,
      due.flatMap((key) => withWindows(key, limits)),
    );
    if (keys.length === 0) return { keys: 0, admitted: 0 };
    const places = keys.map((key) => takeTokens(key.state, key.windows, { nowMs: key.nowMs, wanted: PHASES_PER_KEY_MAX, least: 1 }).taken);
    const found = await firstInLine(client, keys, places);
    const chosen = found.filter((phase) => phase.number <= (places[phase.at] ?? 0));
    const letOut = await letGo(client, chosen);
    const decided = keys.map((key, at) => {
      const count = chosen.filter((phase) => phase.at === at && letOut.has(phase.id)).length;
      return { ...key, left: found.some((phase) => phase.at === at && !letOut.has(phase.id)), tokens: settle(key, count) };
    });
    await saveStates(client, decided);
    await ring(client, 'rate', decided.flatMap(nextRing));
    return { keys: keys.length, admitted: letOut.size };
  });
}

/**
 * Takes `count` tokens of a limit, all or none. Answers null when they were taken, else when they will be there.
 * @throws RangeError when the limit can never give so many.
 */
export async function takeRate(
  database: Pick<Database, 'main'>,
  { workspace, key, windows, count }: RatedKey & { count: number },
): Promise<Date | null> {
  return inTransaction(database.main, async (client) => {
    const [locked] = await lockStates(client, [{ workspace, key, windows }]);
    if (locked === undefined) throw new Error('the limit was not found after it was written');
    const tokens = takeTokens(locked.state, windows, { nowMs: locked.nowMs, wanted: count, least: count });
    await saveStates(client, [{ ...locked, tokens }]);
    // The first use rings for the last: that is when the row can go.
    if (locked.state.logs.length === 0) await ring(client, 'rate', [{ workspace, key, atMs: tokens.emptyAtMs }]);
    return tokens.taken === count ? null : new Date(Math.ceil(tokens.nextAtMs));
  });
}

function withWindows(key: AdmissionKey, limits: KnownLimits): RatedKey[] {
  const colon = key.key.indexOf(':');
  const windows = limits.get(colon < 0 ? key.key : key.key.slice(0, colon));
  return windows === undefined ? [] : [{ ...key, windows }];
}

async function lockStates(client: Queryable, keys: readonly RatedKey[]): Promise<LockedKey[]> {
  if (keys.length === 0) return [];
  // A row that is deleted between the two statements is written again.
  for (let tries = 0; tries < LOCK_TRIES; tries += 1) {
    const locked = await tryLockStates(client, keys);
    if (locked.length === keys.length) return locked;
  }
  throw new AppError('dependency-unavailable', { retryAfterSeconds: 1 });
}

async function tryLockStates(client: Queryable, keys: readonly RatedKey[]): Promise<LockedKey[]> {
  await client.query({
    name: 'insert-rate-limits',
    text: `INSERT INTO millrace.rate_limits (workspace, key, windows) SELECT *, '[]' FROM unnest($1::text[], $2::text[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING`,
    values: columnsOf(keys),
  });
  const result = await client.query<AdmissionKey & { windows: TokenWindow[]; used: TokenLog[]; nowMs: number }>({
    name: 'lock-rate-limits',
    text: `SELECT workspace, key, windows, used, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs" FROM millrace.rate_limits
           WHERE (workspace, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY workspace, key FOR UPDATE`,
    values: columnsOf(keys),
  });
  return result.rows.flatMap(({ workspace, key, windows, used, nowMs }) => {
    const asked = keys.find((one) => one.workspace === workspace && one.key === key);
    return asked === undefined ? [] : [{ ...asked, state: { windows, logs: used }, nowMs }];
  });
}

/** `at`: index of its key; `number`: its place in the line, from 1. */
type HeldPhase = { id: string; flowId: string; at: number; number: number };

// One more of each key than may go tells whether others are left.
async function firstInLine(client: Queryable, keys: readonly AdmissionKey[], places: readonly number[]): Promise<HeldPhase[]> {
  const result = await client.query<HeldPhase>({
    name: 'first-in-line',
    text: `
SELECT p.id, p.flow_id AS "flowId", (k.number - 1)::int AS at, p.number::int FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS k (workspace, key, places, number)
CROSS JOIN LATERAL (
  SELECT id, flow_id, row_number() OVER (ORDER BY rank, id) AS number FROM millrace.phases
  WHERE workspace = k.workspace AND rate_key = k.key AND status = 'queued' AND held = 'rate' AND due_at IS NULL
  ORDER BY rank, id LIMIT k.places + 1
) p`,
    values: [...columnsOf(keys), places],
  });
  return result.rows;
}

// Answers the phases that may go. One whose flow was paused meanwhile is held for that instead, and takes no token.
async function letGo(client: Queryable, phases: readonly HeldPhase[]): Promise<Set<string>> {
  if (phases.length === 0) return new Set();
  const flows = await client.query<{ id: string; paused: boolean }>({
    name: 'lock-rated-flows',
    text: "SELECT id, status = 'paused' AS paused FROM millrace.flows WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE",
    values: [[...new Set(phases.map(({ flowId }) => flowId))]],
  });
  const paused = flows.rows.filter((flow) => flow.paused).map((flow) => flow.id);
  const result = await client.query<{ id: string; held: string | null }>({
    name: 'let-phases-go',
    text: `UPDATE millrace.phases SET held = CASE WHEN flow_id = ANY($2::uuid[]) THEN 'pause' END
           WHERE id = ANY($1::uuid[]) AND status = 'queued' AND held = 'rate' AND due_at IS NULL RETURNING id, held`,
    values: [phases.map(({ id }) => id), paused],
  });
  return new Set(result.rows.filter((row) => row.held === null).map((row) => row.id));
}

function settle(key: LockedKey, count: number): TokensTaken {
  return takeTokens(key.state, key.windows, { nowMs: key.nowMs, wanted: count, least: Math.min(1, count) });
}

// A limit of which nothing is logged any more is as good as new.
async function saveStates(client: Queryable, keys: readonly (RatedKey & { tokens: TokensTaken })[]): Promise<void> {
  const [kept, empty] = [keys.filter((key) => key.tokens.emptyAtMs !== null), keys.filter((key) => key.tokens.emptyAtMs === null)];
  await client.query({
    name: 'save-rate-limits',
    text: `
WITH gone AS (
  DELETE FROM millrace.rate_limits WHERE (workspace, key) IN (SELECT * FROM unnest($5::text[], $6::text[]))
)
UPDATE millrace.rate_limits r SET windows = a.windows, used = a.used
FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[]) AS a (workspace, key, windows, used) WHERE (r.workspace, r.key) = (a.workspace, a.key)`,
    values: [
      ...columnsOf(kept),
      kept.map((key) => JSON.stringify(key.windows)),
      kept.map((key) => JSON.stringify(key.tokens.logs)),
      ...columnsOf(empty),
    ],
  });
}

// While others wait: when the next token is there. Else once more when the row can go.
function nextRing({ workspace, key, left, windows, nowMs, tokens }: LockedKey & { left: boolean; tokens: TokensTaken }) {
  if (!left) return tokens.emptyAtMs === null ? [] : [{ workspace, key, atMs: tokens.emptyAtMs }];
  const after = takeTokens({ windows, logs: tokens.logs }, windows, { nowMs, wanted: 0, least: 1 });
  return [{ workspace, key, atMs: after.nextAtMs }];
}
