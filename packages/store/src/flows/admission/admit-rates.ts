// Lets phases out to the dispatcher as their rate limit allows, most urgent first. Handlers take units of the same limits, see
// limits/take-tokens.ts. Units are taken at dispatch: what waits for a busy worker afterwards has its unit already. Nothing is let out to a
// paused queue: it would use up units without running, and run all at once when the queue is resumed.
import {
  AppError,
  countedTokens,
  emptyAtMsOf,
  freeTokens,
  limitNameOf,
  takeTokens,
  type SlidingWindow,
  type UsedOfWindow,
} from '@millrace/shared';
import { inTransaction, type Database, type Queryable } from '../../database.ts';
import { columnsOf, lockPauses, ring, takeDueKeys, type AdmissionKey } from './due-keys.ts';

const KEYS_MAX = 20;
const LOCK_TRIES = 3;
/** Phases of one key that one pass lets out. */
const PHASES_PER_KEY_MAX = 200;

/** Windows of the limits that this process knows, by name. */
export type KnownLimits = ReadonlyMap<string, readonly SlidingWindow[]>;

type RatedKey = AdmissionKey & { windows: readonly SlidingWindow[] };
type LockedKey = RatedKey & { used: readonly UsedOfWindow[]; nowMs: number };
/** `left`: whether other phases of the key wait. */
type DecidedKey = LockedKey & { left: boolean };

/** Decides about due keys. Answers how many phases were let out and how many keys were looked at. */
export async function admitRates(database: Pick<Database, 'main'>, limits: KnownLimits): Promise<{ keys: number; admitted: number }> {
  if (limits.size === 0) return { keys: 0, admitted: 0 };
  return inTransaction(database.main, async (client) => {
    const pausedUntil = await lockPauses(client);
    const due = await takeDueKeys(client, 'rate', { rates: [...limits.keys()], limit: KEYS_MAX });
    const paused = due.flatMap((key) => {
      const atMs = pausedUntil(key.workspace);
      return atMs === undefined ? [] : [{ ...key, atMs }];
    });
    await ring(client, 'rate', paused);
    const keys = await lockLimits(
      client,
      due.flatMap((key) => {
        const windows = limits.get(limitNameOf(key.key));
        return windows === undefined || pausedUntil(key.workspace) !== undefined ? [] : [{ ...key, windows }];
      }),
    );
    if (keys.length === 0) return { keys: 0, admitted: 0 };
    const places = keys.map((key) => Math.min(PHASES_PER_KEY_MAX, freeTokens(key, key.nowMs)));
    const found = await firstInLine(client, keys, places);
    const chosen = found.filter((phase) => phase.number <= (places[phase.at] ?? 0));
    const letOut = await letGo(client, chosen);
    const decided = keys.map((key, at) => {
      const count = chosen.filter((phase) => phase.at === at && letOut.has(phase.id)).length;
      return { ...key, left: found.some((phase) => phase.at === at && !letOut.has(phase.id)), used: usedAfter(key, count) };
    });
    await saveLimits(client, decided);
    await ring(client, 'rate', decided.flatMap(nextRing));
    return { keys: keys.length, admitted: letOut.size };
  });
}

function usedAfter({ windows, used, nowMs }: LockedKey, units: number): UsedOfWindow[] {
  return countedTokens(units === 0 ? used : takeTokens({ windows, used }, units, nowMs).used, nowMs);
}

async function lockLimits(client: Queryable, keys: readonly RatedKey[]): Promise<LockedKey[]> {
  if (keys.length === 0) return [];
  // A row that is deleted between the two statements is written again.
  for (let tries = 0; tries < LOCK_TRIES; tries += 1) {
    const locked = await tryLockLimits(client, keys);
    if (locked.length === keys.length) return locked;
  }
  throw new AppError('dependency-unavailable', { retryAfterSeconds: 1 });
}

// First written, then locked, both in the order of the keys, as takeFromLimits does it: so the two never wait for each other.
async function tryLockLimits(client: Queryable, keys: readonly RatedKey[]): Promise<LockedKey[]> {
  await client.query({
    name: 'insert-rate-limits',
    text: `INSERT INTO millrace.rate_limits (workspace, key, windows) SELECT *, '[]' FROM unnest($1::text[], $2::text[]) ORDER BY 1, 2 ON CONFLICT DO NOTHING`,
    values: columnsOf(keys),
  });
  const result = await client.query<AdmissionKey & { used: UsedOfWindow[]; nowMs: number }>({
    name: 'lock-rate-limits',
    text: `SELECT workspace, key, used, floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs" FROM millrace.rate_limits
           WHERE (workspace, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY workspace, key FOR UPDATE`,
    values: columnsOf(keys),
  });
  return result.rows.flatMap(({ workspace, key, used, nowMs }) => {
    const asked = keys.find((one) => one.workspace === workspace && one.key === key);
    return asked === undefined ? [] : [{ ...asked, used, nowMs }];
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

// A limit of which nothing is counted any more is as good as new.
async function saveLimits(client: Queryable, keys: readonly DecidedKey[]): Promise<void> {
  const [kept, empty] = [keys.filter((key) => key.used.length > 0), keys.filter((key) => key.used.length === 0)];
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
      kept.map((key) => JSON.stringify(key.used)),
      ...columnsOf(empty),
    ],
  });
}

// While others wait: when the next unit is there. Else once more when the row can go.
function nextRing({ workspace, key, left, windows, used, nowMs }: DecidedKey) {
  const atMs = left ? takeTokens({ windows, used }, 1, nowMs).retryAtMs : emptyAtMsOf(used);
  return atMs === null ? [] : [{ workspace, key, atMs }];
}
