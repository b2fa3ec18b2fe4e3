// Counts what cleansing changed and what it could not make right, with a few examples of each.
import { z } from 'zod';
import type { CanonicalField } from '../mapping/canonical-fields.ts';
import { canonicalFieldSchema } from '../mapping/canonical-fields.ts';

const EXAMPLES_MAX = 5;
const EXAMPLE_LENGTH_MAX = 120;

export const fixCountSchema = z.object({
  kind: z.string(),
  field: canonicalFieldSchema,
  /** `fixed`: the value is right now. `flagged`: it stays as it is, somebody should look. */
  outcome: z.enum(['fixed', 'flagged']),
  count: z.number().int(),
  examples: z.array(z.object({ before: z.string(), after: z.string().nullable() })),
});

type FixCount = z.infer<typeof fixCountSchema>;

export type FixNote = { kind: string; field: CanonicalField; outcome: 'fixed' | 'flagged'; before: string; after: string | null };

type FixLedger = { note: (fix: FixNote) => void; counts: () => FixCount[] };

/** Counts are exact; at most five different examples are kept for each kind. */
export function createFixLedger(): FixLedger {
  const counts = new Map<string, FixCount>();
  return {
    note({ kind, field, outcome, before, after }) {
      const key = `${outcome} ${kind} ${field}`;
      const entry = counts.get(key) ?? { kind, field, outcome, count: 0, examples: [] };
      counts.set(key, entry);
      entry.count += 1;
      if (entry.examples.length >= EXAMPLES_MAX || entry.examples.some((example) => example.before === shorten(before))) return;
      entry.examples.push({ before: shorten(before), after: after === null ? null : shorten(after) });
    },
    counts: () => [...counts.values()].toSorted((a, b) => b.count - a.count || a.kind.localeCompare(b.kind)),
  };
}

function shorten(text: string): string {
  return text.length > EXAMPLE_LENGTH_MAX ? `${text.slice(0, EXAMPLE_LENGTH_MAX)}…` : text;
}
