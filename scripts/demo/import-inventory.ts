// Loads the inventory through the interface: dataset, import, content; follows it to its end.
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { StepReporter } from '../terminal/step-reporter.ts';
import type { ApiClient } from './client/api-client.ts';
import { DemoError } from './demo-error.ts';
import type { Inventory } from './build-inventory.ts';
import { INVENTORY_DATASET, inventoryDataset } from './inventory-dataset.ts';

const POLL_MS = 150;
const createdSchema = z.object({ id: z.string() });
const importSchema = z.object({
  status: z.string(),
  bytesDone: z.number().nullish(),
  bytesTotal: z.number().nullish(),
  rowsInserted: z.number().default(0),
  rowsUpdated: z.number().default(0),
  rowsRejected: z.number().default(0),
  error: z.object({ code: z.string(), message: z.string() }).nullish(),
});

export type ImportResult = { importId: string; rowsImported: number; rowsRejected: number };

type ImportOptions = { client: ApiClient; reporter: StepReporter; inventory: Inventory; signal: AbortSignal };

/** Replaces the dataset by the inventory. @throws DemoError when the import does not complete. */
export async function importInventory({ client, reporter, inventory, signal }: ImportOptions): Promise<ImportResult> {
  const step = reporter.step('import', { text: `${inventory.rowCount} rows` });
  try {
    await client.send({ method: 'DELETE', path: `/v1/datasets/${INVENTORY_DATASET}`, allow: [404] });
    await client.send({ method: 'PUT', path: `/v1/datasets/${INVENTORY_DATASET}`, json: inventoryDataset() });
    const { id } = await client.get(
      { method: 'POST', path: '/v1/imports', json: { dataset: INVENTORY_DATASET, mode: 'insert', format: 'csv' } },
      createdSchema,
    );
    await client.send({ method: 'PUT', path: `/v1/imports/${id}/content`, content: { type: 'text/csv', chunks: inventory.csv } });
    const result = await followImport({ client, importId: id, signal });
    step.done(`${result.rowsImported} rows imported into ${INVENTORY_DATASET}, ${result.rowsRejected} rejected`);
    return result;
  } catch (error) {
    step.fail();
    throw error;
  }
}

async function followImport({
  client,
  importId,
  signal,
}: {
  client: ApiClient;
  importId: string;
  signal: AbortSignal;
}): Promise<ImportResult> {
  for (;;) {
    const state = await client.get({ method: 'GET', path: `/v1/imports/${importId}` }, importSchema);
    if (state.status === 'completed')
      return { importId, rowsImported: state.rowsInserted + state.rowsUpdated, rowsRejected: state.rowsRejected };
    if (['failed', 'cancelled', 'undone'].includes(state.status)) {
      throw new DemoError(
        'failed',
        `The import ended as ${state.status}${state.error ? `: ${state.error.message} (${state.error.code})` : ''}.`,
      );
    }
    await delay(POLL_MS, undefined, { signal });
  }
}
