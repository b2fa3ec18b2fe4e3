// How long flows are kept: what the definitions say, kept in a table so that all workers go by the same, and the SQL that goes by it.
import type { Queryable } from '../database.ts';

/** What one definition says. Null: as configured for all, or no limit of their number. */
export type RetentionRule = { name: string; version: number; ageMs: number | null; count: number | null; archive: boolean };

/** `defaultAgeMs` null: flows are kept for ever unless their definition says otherwise. */
export type Retention = { rules: readonly RetentionRule[]; defaultAgeMs: number | null };

/** Flows kept for this long or longer go with their month, at most a month later than they might: dropping a month costs nothing. */
export const BY_MONTH_MS_MIN = 60 * 24 * 60 * 60 * 1000;

/** Makes known what the definitions of this process say. The newest version counts, whoever has it. */
export async function announceRetention(on: Queryable, rules: readonly RetentionRule[]): Promise<void> {
  await on.query({
    name: 'announce-retention',
    text: `INSERT INTO millrace.retentions (name, version, age_ms, count, archive)
           SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::int[], $5::boolean[]) AS r (name, version, age_ms, count, archive) ORDER BY name
           ON CONFLICT (name) DO UPDATE SET version = excluded.version, age_ms = excluded.age_ms, count = excluded.count, archive = excluded.archive
           WHERE excluded.version >= retentions.version`,
    values: [
      rules.map((rule) => rule.name),
      rules.map((rule) => rule.version),
      rules.map((rule) => rule.ageMs),
      rules.map((rule) => rule.count),
      rules.map((rule) => rule.archive),
    ],
  });
}

export async function readRetention(on: Queryable, defaultAgeMs: number | null): Promise<Retention> {
  const result = await on.query<Omit<RetentionRule, 'ageMs'> & { age_ms: number | null }>({
    name: 'read-retention',
    text: 'SELECT name, version, age_ms::float8 AS age_ms, count, archive FROM millrace.retentions ORDER BY name',
  });
  return { rules: result.rows.map(({ age_ms, ...rule }) => ({ ...rule, ageMs: age_ms })), defaultAgeMs };
}

export function ruleFor({ rules, defaultAgeMs }: Retention, name: string): Pick<RetentionRule, 'ageMs' | 'count' | 'archive'> {
  const rule = rules.find((one) => one.name === name);
  return { ageMs: rule?.ageMs ?? defaultAgeMs, count: rule?.count ?? null, archive: rule?.archive ?? false };
}

export const ENDED = "('completed', 'failed', 'cancelled')";

/** SQL: the id of the flow that a phase belongs to. */
export const flowOfPhase = (phaseId: string) => `overlay(${phaseId}::text PLACING '0000' FROM 33)::uuid`;
