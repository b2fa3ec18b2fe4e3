// Writes results of steps: those of all phases that run in this process combined, through a short outage of PostgreSQL.
import { createMicroBatcher } from '@millrace/process';
import { isDataFault, saveSteps, type Database, type NewStep } from '@millrace/store';
import { throughOutage } from '../through-outage.ts';

export type StepWriter = {
  /** False when the fence refused it. */
  save(step: NewStep): Promise<boolean>;
};

/** Results may have 1 MiB each, so few go together. */
const BATCH = { batchMax: 50, inFlightMax: 2, pendingMax: 10_000 };

export function createStepWriter({ database }: { database: Pick<Database, 'hot'> }): StepWriter {
  const batcher = createMicroBatcher<NewStep, boolean>({
    ...BATCH,
    isItemFault: isDataFault,
    send: (steps) => throughOutage(() => saveSteps(database.hot, steps)),
  });
  return { save: (step) => batcher.add(step) };
}
