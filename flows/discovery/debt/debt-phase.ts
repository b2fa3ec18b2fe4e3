// Phase `debt`: what needs attention, with severity, reason and the packages. Facts come from the rows and the graph, judgements from
// the rules beside this file.
import type { PhaseContext } from '@millrace/sdk';
import { z } from 'zod';
import { cleansingOutputSchema } from '../cleansing/cleansing-phase.ts';
import { dependenciesOutputSchema, type DependenciesOutput } from '../dependencies/dependencies-phase.ts';
import type { DiscoveryInput } from '../discovery-input.ts';
import { inventoryOutputSchema, type InventoryOutput } from '../inventory/inventory-phase.ts';
import { mappingOutputSchema } from '../mapping/mapping-phase.ts';
import { readItems } from '../read-items.ts';
import { assessItem } from './assess-item.ts';
import { SEVERITIES } from './finding-rules.ts';
import { createFindingsCollector, findingSchema, type FindingsCollector } from './findings-collector.ts';
import { createRuntimeJudge } from './node-releases.ts';
import { createVersionSpread, type VersionSpread } from './version-spread.ts';

export const debtOutputSchema = z.object({
  asOf: z.iso.date(),
  nodeMajor: z.number().int(),
  bySeverity: z.record(z.enum(SEVERITIES), z.number().int()),
  /** Most severe first, then the largest. */
  findings: z.array(findingSchema),
});

type DebtOutput = z.infer<typeof debtOutputSchema>;

const needsSchema = z.object({
  mapping: mappingOutputSchema,
  cleansing: cleansingOutputSchema,
  inventory: inventoryOutputSchema,
  dependencies: dependenciesOutputSchema,
});

export async function runDebt(ctx: PhaseContext<DiscoveryInput>): Promise<DebtOutput> {
  const { mapping, cleansing, inventory, dependencies } = needsSchema.parse(ctx.outputs);
  const findings = createFindingsCollector();
  const spread = createVersionSpread();
  const assessment = { asOf: mapping.asOf, judgeRuntime: createRuntimeJudge(mapping.asOf, ctx.input.nodeMajor), findings };
  await readItems(
    ctx,
    { fields: mapping.fields, conventions: cleansing.conventions, progress: { from: 0, to: 0.95, doing: 'assessing' } },
    (item) => {
      assessItem(item, assessment);
      spread.add(item);
    },
  );
  for (const entry of spread.result()) addSpread(findings, entry);
  addGraphFindings(findings, dependencies, inventory.reachBasis);
  const result = findings.result();
  const bySeverity = { high: 0, medium: 0, low: 0, info: 0 };
  for (const { severity } of result) bySeverity[severity] += 1;
  ctx.log.info(`${result.length} findings in ${inventory.items} items, ${bySeverity.high} of them high.`);
  return { asOf: mapping.asOf, nodeMajor: ctx.input.nodeMajor, bySeverity, findings: result };
}

function addSpread(findings: FindingsCollector, { name, versions, copies, severalMajors }: VersionSpread): void {
  findings.add(severalMajors ? 'several-major-versions' : 'several-versions', name, `${versions.join(', ')} (${copies} copies)`);
}

// Only where the inventory says what was asked for can the rest be called left over: an application that nothing depends on is nothing odd.
function addGraphFindings(findings: FindingsCollector, graph: DependenciesOutput, basis: InventoryOutput['reachBasis']): void {
  const required = graph.unresolved.samples.filter((sample) => sample.kind === 'required');
  findings.addCounted(
    'unresolved-dependencies',
    graph.unresolved.required,
    required.map(({ from, name, range }) => ({ package: name, detail: `${range ?? 'any version'}, needed by ${from}` })),
  );
  findings.addCounted(
    'cycles',
    graph.cycles.count,
    graph.cycles.samples.map(({ size, packages }) => ({
      package: packages.join(', '),
      detail: size > packages.length ? `${size} packages in all` : null,
    })),
  );
  if (basis !== 'column') return;
  findings.addCounted(
    'orphans',
    graph.orphans.count,
    graph.orphans.samples.map((label) => ({ package: label, detail: null })),
  );
}
