// Gathers what was found under its rule: exact counts, capped lists, ordered by severity.
import { z } from 'zod';
import { FINDING_RULES, SEVERITIES, type FindingRuleId } from './finding-rules.ts';

const PACKAGES_MAX = 50;
const DETAIL_LENGTH_MAX = 200;

export const findingSchema = z.object({
  rule: z.custom<FindingRuleId>((value) => typeof value === 'string' && Object.hasOwn(FINDING_RULES, value)),
  severity: z.enum(SEVERITIES),
  title: z.string(),
  why: z.string(),
  count: z.number().int(),
  unit: z.string(),
  /** At most fifty, in the order of the inventory. */
  packages: z.array(z.object({ package: z.string(), detail: z.string().nullable() })),
});

export type Finding = z.infer<typeof findingSchema>;

export type FindingsCollector = {
  add(rule: FindingRuleId, label: string, detail?: string): void;
  /** For what was counted elsewhere. */
  addCounted(rule: FindingRuleId, count: number, packages: readonly { package: string; detail: string | null }[]): void;
  result(): Finding[];
};

export function createFindingsCollector(): FindingsCollector {
  const found = new Map<FindingRuleId, Pick<Finding, 'count' | 'packages'>>();
  const entryOf = (rule: FindingRuleId) => {
    const entry = found.get(rule) ?? { count: 0, packages: [] };
    found.set(rule, entry);
    return entry;
  };
  return {
    add(rule, label, detail) {
      const entry = entryOf(rule);
      entry.count += 1;
      if (entry.packages.length < PACKAGES_MAX)
        entry.packages.push({ package: label, detail: detail === undefined ? null : shorten(detail) });
    },
    addCounted(rule, count, packages) {
      if (count === 0) return;
      const entry = entryOf(rule);
      entry.count += count;
      entry.packages.push(...packages.slice(0, PACKAGES_MAX - entry.packages.length));
    },
    result: () => [...found].map(([rule, entry]) => finding(rule, entry)).toSorted(bySeverity),
  };
}

function finding(rule: FindingRuleId, { count, packages }: Pick<Finding, 'count' | 'packages'>): Finding {
  const { severity, title, why, unit } = FINDING_RULES[rule];
  return { rule, severity, title, why, count, unit: count === 1 ? unit[0] : unit[1], packages };
}

function bySeverity(a: Finding, b: Finding): number {
  return SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || b.count - a.count || (a.rule < b.rule ? -1 : 1);
}

function shorten(text: string): string {
  return text.length > DETAIL_LENGTH_MAX ? `${text.slice(0, DETAIL_LENGTH_MAX)}…` : text;
}
