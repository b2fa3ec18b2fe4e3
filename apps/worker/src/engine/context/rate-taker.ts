// Takes units of rate limits: what the phases of this process ask for at the same time goes to PostgreSQL together.
import { createMicroBatcher } from '@millrace/process';
import { windowsOf, type FlowRegistry } from '@millrace/sdk';
import type { SlidingWindow } from '@millrace/shared';
import { asAppError, takeFromLimits, type ClaimedPhase, type Database, type TokenAnswer, type TokenRequest } from '@millrace/store';

export type RateTaker = {
  /** The windows of a limit of the phase's flow. Undefined when its definition has no such limit. */
  windowsOf(phase: Pick<ClaimedPhase, 'flow' | 'version'>, name: string): readonly SlidingWindow[] | undefined;
  /** @throws AppError dependency-unavailable when PostgreSQL is away. */
  take(request: TokenRequest): Promise<TokenAnswer>;
};

// One at a time: two would only compete for the same limits.
const BATCH = { batchMax: 1_000, inFlightMax: 1, pendingMax: 20_000 };

export function createRateTaker({ database, registry }: { database: Pick<Database, 'main'>; registry: FlowRegistry }): RateTaker {
  const batcher = createMicroBatcher<TokenRequest, TokenAnswer>({
    ...BATCH,
    send: (requests) =>
      takeFromLimits(database.main, requests).catch((error: unknown) => {
        throw asAppError(error);
      }),
  });
  return {
    windowsOf: (phase, name) => {
      const definition = registry.get(phase.flow, phase.version);
      return definition === undefined || !Object.hasOwn(definition.limits ?? {}, name) ? undefined : windowsOf(definition, name);
    },
    take: (request) => batcher.add(request),
  };
}
