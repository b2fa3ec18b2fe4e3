// The flow `discovery`: tells a team what a software inventory holds and what in it needs attention. Here stands which phase needs which;
// what each does is in the folder of its name.
import { defineFlow, definePhase } from '@millrace/sdk';
import { runCleansing } from './cleansing/cleansing-phase.ts';
import { runDebt } from './debt/debt-phase.ts';
import { runDependencies } from './dependencies/dependencies-phase.ts';
import { discoveryInputSchema } from './discovery-input.ts';
import { runInventory } from './inventory/inventory-phase.ts';
import { runMapping } from './mapping/mapping-phase.ts';
import { runReport } from './report/report-phase.ts';

// A phase gets the results of those it names, and of no others: so every phase that reads rows names mapping and cleansing.
export default defineFlow({
  name: 'discovery',
  version: 1,
  input: discoveryInputSchema,
  phases: {
    mapping: definePhase({ run: runMapping }),
    cleansing: definePhase({ needs: ['mapping'], run: runCleansing }),
    inventory: definePhase({ needs: ['mapping', 'cleansing'], run: runInventory }),
    dependencies: definePhase({ needs: ['mapping', 'cleansing'], run: runDependencies }),
    debt: definePhase({ needs: ['mapping', 'cleansing', 'inventory', 'dependencies'], run: runDebt }),
    report: definePhase({ needs: ['mapping', 'cleansing', 'inventory', 'dependencies', 'debt'], run: runReport }),
  },
});
