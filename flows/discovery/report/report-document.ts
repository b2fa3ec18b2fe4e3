// The report as data: versioned, for programs. Its schema is what readers may rely on.
import { z } from 'zod';
import { cleansingOutputSchema } from '../cleansing/cleansing-phase.ts';
import { debtOutputSchema } from '../debt/debt-phase.ts';
import { dependenciesOutputSchema } from '../dependencies/dependencies-phase.ts';
import { inventoryOutputSchema } from '../inventory/inventory-phase.ts';
import { mappingOutputSchema } from '../mapping/mapping-phase.ts';

/** What the report is made of: the results of all phases before it. */
export const reportPartsSchema = z.object({
  mapping: mappingOutputSchema,
  cleansing: cleansingOutputSchema,
  inventory: inventoryOutputSchema,
  dependencies: dependenciesOutputSchema,
  debt: debtOutputSchema,
});

type ReportParts = z.infer<typeof reportPartsSchema>;

/** Rises with every change that a reader of the document could trip over. */
const REPORT_FORMAT = 'millrace.discovery-report/1';

export const reportDocumentSchema = reportPartsSchema.extend({
  format: z.literal(REPORT_FORMAT),
  importId: z.uuid(),
  asOf: z.iso.date(),
  /** The report in sentences, most important first. */
  summary: z.array(z.string()),
});

export type ReportDocument = z.infer<typeof reportDocumentSchema>;

export function buildReportDocument(importId: string, parts: ReportParts): ReportDocument {
  return { format: REPORT_FORMAT, importId, asOf: parts.mapping.asOf, summary: summarise(parts), ...parts };
}

function summarise({ cleansing, inventory, dependencies, debt }: ReportParts): string[] {
  const { high, medium, low, info } = debt.bySeverity;
  const { byUse, byReach } = inventory;
  const reach =
    inventory.reachBasis === 'none'
      ? ''
      : ` ${byReach.direct} direct, ${byReach.transitive} brought in by others, ${byReach.own} of the project itself.`;
  return [
    `${inventory.items} items under ${inventory.distinctNames} names, out of ${cleansing.rows} rows.${reach}`,
    ...(byUse.unknown === inventory.items
      ? []
      : [`${byUse.runtime} for run time, ${byUse.development} for development only, ${byUse.optional} optional.`]),
    `${debt.findings.length} findings: ${high} high, ${medium} medium, ${low} low, ${info} for information.`,
    `Longest chain of dependencies: ${dependencies.longestChain.length} packages. Circles: ${dependencies.cycles.count}. Required dependencies not found: ${dependencies.unresolved.required}.`,
    `Values cleaned: ${cleansing.valuesFixed}. Flagged, as they could not be made right: ${cleansing.valuesFlagged}.`,
  ];
}
