// What the contexts of all phases of a process share: writers that combine what many handlers do at the same time.
import type { Clock, Logger } from '@millrace/process';
import type { FlowRegistry } from '@millrace/sdk';
import type { Database } from '@millrace/store';
import { createRateTaker, type RateTaker } from './rate-taker.ts';
import { createStepWriter, type StepWriter } from './step-writer.ts';
import { createUsageRecorder, type UsageRecorder } from './usage-recorder.ts';

export type ContextServices = { rates: RateTaker; steps: StepWriter; usage: UsageRecorder };

export function createContextServices(deps: {
  database: Database;
  registry: FlowRegistry;
  clock: Clock;
  log: Logger;
  workerId: string;
}): ContextServices {
  return {
    rates: createRateTaker(deps),
    steps: createStepWriter(deps),
    usage: createUsageRecorder({ ...deps, source: deps.workerId }),
  };
}
