// Answers that starts were given under their idempotency keys, for requests that could not be started (any more) by what they say.
import type { Queryable } from '../database.ts';
import type { NewFlow } from './create-flows.ts';

export type StartKey = NonNullable<NewFlow['idempotency']>;
export type KeptStart = { kind: 'replayed'; status: number; body: unknown };

/** The answer for each key in order; undefined where none was given within 24 hours, or to another body. */
export async function readKeptStarts(on: Queryable, workspace: string, keys: readonly StartKey[]): Promise<(KeptStart | undefined)[]> {
  if (keys.length === 0) return [];
  const result = await on.query<{ place: number; status: number; response: unknown }>({
    name: 'read-kept-starts',
    text: `SELECT a.place::int AS place, k.status, k.response
           FROM unnest($2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS a (route, key, body_hash, place)
           JOIN millrace.idempotency_keys k ON k.workspace = $1 AND k.route = a.route AND k.key = a.key AND k.body_hash = a.body_hash
           WHERE k.created_at >= now() - interval '24 hours'`,
    values: [workspace, keys.map(({ route }) => route), keys.map(({ key }) => key), keys.map(({ bodyHash }) => bodyHash)],
  });
  const kept = new Map(result.rows.map(({ place, status, response }) => [place, { kind: 'replayed' as const, status, body: response }]));
  return keys.map((_, index) => kept.get(index + 1));
}
