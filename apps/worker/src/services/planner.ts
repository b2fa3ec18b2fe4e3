// Plans flows that were started in SQL: checks their input and makes their phases, with the definitions that this process knows.
// What no process knows stays queued.
import { createLoop, type Logger, type Loop } from '@millrace/process';
import type { FlowPlanner, FlowRegistry } from '@millrace/sdk';
import { planFlows, type Database, type FlowPlanning, type UnplannedFlow } from '@millrace/store';
import type { EventPublisher } from '../engine/event-publisher.ts';

export type PlannerDeps = {
  database: Database;
  planner: FlowPlanner;
  registry: FlowRegistry;
  publisher: EventPublisher;
  /** Called when flows were planned: there is something in the backlog, or to be admitted. */
  onPlanned(): void;
  log: Logger;
  onPass(pass: { loop: string; durationMs: number; failed: boolean }): void;
};

const INTERVAL_MS = 250;
/** Inputs may be large: this many are in memory at a time. */
const FLOWS_MAX = 50;
const MESSAGE_CHARS_MAX = 2_000;

export function createPlanner(deps: PlannerDeps): Loop {
  return createLoop({ name: 'planner', intervalMs: INTERVAL_MS, log: deps.log, onPass: deps.onPass, runOnce: () => planSome(deps) });
}

async function planSome({ database, planner, registry, publisher, onPlanned, log }: PlannerDeps): Promise<'again' | 'idle'> {
  const names = [...new Set(registry.list().map((definition) => definition.name))];
  const outcome = await planFlows(database, { names, limit: FLOWS_MAX, plan: (flow) => planOf(planner, flow) });
  publisher.publish(outcome.events);
  if (outcome.planned > 0) onPlanned();
  if (outcome.failed > 0) log.warn({ count: outcome.failed }, 'flows that were started in SQL cannot run and have failed');
  return outcome.more && outcome.planned + outcome.failed > 0 ? 'again' : 'idle';
}

function planOf(planner: FlowPlanner, flow: UnplannedFlow): FlowPlanning {
  const plan = attempt(() => planner.plan(flow.name, flow.input));
  if (plan instanceof Error) return invalid('invalid-flow', plan.message);
  switch (plan.kind) {
    case 'planned': {
      const { definition, phases, timeoutMs, expiresInMs } = plan.flow;
      const expiresAt = expiresInMs === null ? null : new Date(flow.startsAt.getTime() + expiresInMs).toISOString();
      return { kind: 'planned', version: definition.version, phases, timeoutMs, expiresAt };
    }
    case 'unknown-flow':
      return { kind: 'later' };
    case 'invalid-input':
      return invalid(
        'validation',
        plan.issues.map((issue) => `/input${issue.path.map((key) => `/${String(key)}`).join('')}: ${issue.message}`).join('; '),
      );
    case 'invalid-flow':
      return invalid(
        'invalid-flow',
        plan.faults.map(({ phase, message }) => (phase === null ? message : `phase ${phase}: ${message}`)).join('; '),
      );
  }
}

// What a definition makes of its input is code of its author: one that throws must not stand in the way of the other flows.
function attempt<Result>(fn: () => Result): Result | Error {
  try {
    return fn();
  } catch (error) {
    return error instanceof Error ? error : new Error('the definition failed for this input');
  }
}

// NUL cannot be kept in jsonb.
function invalid(code: string, message: string): FlowPlanning {
  return { kind: 'invalid', error: { code, message: message.replaceAll('\u0000', '').slice(0, MESSAGE_CHARS_MAX).toWellFormed() } };
}
