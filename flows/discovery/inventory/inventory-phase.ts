// Phase `inventory`: what there is, counted by use, reach, kind, licence and origin. It judges nothing.
import type { PhaseContext } from '@millrace/sdk';
import { z } from 'zod';
import { cleansingOutputSchema } from '../cleansing/cleansing-phase.ts';
import type { DiscoveryInput } from '../discovery-input.ts';
import { mappingOutputSchema, type MappingOutput } from '../mapping/mapping-phase.ts';
import { readItems } from '../read-items.ts';
import { itemLabel, type SoftwareItem } from '../software-item.ts';
import { createTally, tallySchema } from '../tally.ts';
import { categoryOf, OWN_CATEGORY } from './category-rules.ts';
import { licenseLabel, originOf, reachOf, REACHES, useOf, USES, type ReachBasis } from './classify-item.ts';

export const inventoryOutputSchema = z.object({
  items: z.number().int(),
  distinctNames: z.number().int(),
  byUse: z.record(z.enum(USES), z.number().int()),
  byReach: z.record(z.enum(REACHES), z.number().int()),
  reachBasis: z.enum(['column', 'inferred', 'none']),
  byCategory: tallySchema,
  byLicense: tallySchema,
  byOrigin: tallySchema,
  byOwner: tallySchema,
});

export type InventoryOutput = z.infer<typeof inventoryOutputSchema>;

const needsSchema = z.object({ mapping: mappingOutputSchema, cleansing: cleansingOutputSchema });

export async function runInventory(ctx: PhaseContext<DiscoveryInput>): Promise<InventoryOutput> {
  const { mapping, cleansing } = needsSchema.parse(ctx.outputs);
  const counter = createInventoryCounter(reachBasisOf(mapping));
  await readItems(
    ctx,
    { fields: mapping.fields, conventions: cleansing.conventions, progress: { from: 0, to: 1, doing: 'classifying' } },
    counter.add,
  );
  const output = counter.result();
  ctx.log.info(`${output.items} items under ${output.distinctNames} names, ${output.byReach.direct} of them direct.`);
  return output;
}

/** How it can be known what is direct: from its column, else from the dependencies, else not at all. */
function reachBasisOf(mapping: Pick<MappingOutput, 'fields'>): ReachBasis {
  const has = (field: string) => mapping.fields.some((entry) => entry.field === field);
  if (has('direct')) return 'column';
  return has('dependencies') ? 'inferred' : 'none';
}

type InventoryCounter = { add: (item: SoftwareItem) => void; result: () => InventoryOutput };

/** Whether something is depended on is known only at the end, so that reaches are counted then, from a short record of each item. */
function createInventoryCounter(basis: ReachBasis): InventoryCounter {
  const names = new Set<string>();
  const dependedOn = new Set<string>();
  const records: Pick<SoftwareItem, 'name' | 'own' | 'direct'>[] = [];
  const byUse = { runtime: 0, development: 0, optional: 0, unknown: 0 };
  const [byCategory, byLicense, byOrigin, byOwner] = [createTally(), createTally(), createTally(), createTally()];
  return {
    add(item) {
      const label = itemLabel(item);
      names.add(item.name);
      records.push({ name: item.name, own: item.own, direct: item.direct });
      for (const dependency of item.dependencies) dependedOn.add(dependency.name);
      byUse[useOf(item)] += 1;
      byCategory.add(item.own ? OWN_CATEGORY : categoryOf(item.name, item.keywords), label);
      byLicense.add(licenseLabel(item.license), label);
      byOrigin.add(originOf(item) ?? '(none)', label);
      if (item.owner !== null) byOwner.add(item.owner, label);
    },
    result() {
      const byReach = { own: 0, direct: 0, transitive: 0, unknown: 0 };
      for (const record of records) byReach[reachOf(record, basis, dependedOn)] += 1;
      const tallies = {
        byCategory: byCategory.result(),
        byLicense: byLicense.result(),
        byOrigin: byOrigin.result(),
        byOwner: byOwner.result(),
      };
      return { items: records.length, distinctNames: names.size, byUse, byReach, reachBasis: basis, ...tallies };
    },
  };
}
