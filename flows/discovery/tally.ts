// Counts by key, with a few examples of each, cut to the largest: the shape of most tables in the report.
import { z } from 'zod';

export const tallySchema = z.object({
  /** Different keys, also those that `top` leaves out. */
  distinct: z.number().int(),
  top: z.array(z.object({ key: z.string(), count: z.number().int(), examples: z.array(z.string()) })),
  /** Sum over the keys that `top` leaves out. */
  others: z.number().int(),
});

export type Tally = z.infer<typeof tallySchema>;

type TallyCounter = { add(key: string, example: string): void; result(): Tally };

const TOP_MAX = 50;
const EXAMPLES_MAX = 5;

/** Counts are exact; the fifty largest keys are listed, equal ones in alphabetical order. */
export function createTally(): TallyCounter {
  const counts = new Map<string, { count: number; examples: string[] }>();
  return {
    add(key, example) {
      const entry = counts.get(key) ?? { count: 0, examples: [] };
      counts.set(key, entry);
      entry.count += 1;
      if (entry.examples.length < EXAMPLES_MAX && !entry.examples.includes(example)) entry.examples.push(example);
    },
    result() {
      const sorted = [...counts]
        .map(([key, entry]) => ({ key, ...entry }))
        .toSorted((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
      const others = sorted.slice(TOP_MAX).reduce((sum, entry) => sum + entry.count, 0);
      return { distinct: sorted.length, top: sorted.slice(0, TOP_MAX), others };
    },
  };
}
