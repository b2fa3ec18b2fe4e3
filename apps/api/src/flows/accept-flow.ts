// From a validated body to a flow that the store can insert: definition, input, start time, phases. Nothing is written here.
import { AppError, fieldError, LIMITS, storableJson, type NewFlowBody, type Principal } from '@millrace/shared';
import type { FlowFault, FlowPlanner, PlannedFlow } from '@millrace/sdk';
import type { Clock } from '@millrace/process';
import type { Dedupe, NewFlow } from '@millrace/store';
import { issuesError } from '../http/input/validate.ts';
import { acceptedFlow } from './flow-links.ts';
import { concurrencyOf, dedupeOf, expiryTime, startTime } from './start-conditions.ts';

/** `dispatch` and `idempotency` are known later. */
export type FlowDraft = Omit<NewFlow, 'dispatch' | 'idempotency'> & { dedupe?: Dedupe };

export type FlowAcceptor = {
  /** @throws AppError unknown-flow, validation, invalid-flow, nul-character … all 422 with pointers */
  accept(body: NewFlowBody, principal: Principal): FlowDraft;
};

export function createFlowAcceptor({ planner, clock }: { planner: FlowPlanner; clock: Clock }): FlowAcceptor {
  return {
    accept: (body, principal) => {
      const nowMs = clock.nowMs();
      const runAt = startTime(body.runAt, nowMs);
      const { definition, phases, timeoutMs, expiresInMs } = planned(planner, body);
      const expiresAt = expiryTime({ expiresAt: body.expiresAt, runAt }, expiresInMs, nowMs);
      const concurrency = concurrencyOf(body);
      const dedupe = dedupeOf(body);
      const extras = {
        ...(timeoutMs === null ? {} : { timeoutMs }),
        ...(expiresAt === undefined ? {} : { expiresAt }),
        ...(concurrency === undefined ? {} : { concurrency }),
      };
      return {
        workspace: principal.workspace,
        createdBy: principal.keyId,
        name: definition.name,
        version: definition.version,
        inputJson: inputText(body.input),
        tags: body.tags,
        priority: body.priority,
        runAt,
        phases,
        ...(Object.keys(extras).length === 0 ? {} : { extras }),
        ...(dedupe === undefined ? {} : { dedupe }),
        respond: (flowId) => ({ status: 202, body: acceptedFlow({ id: flowId, flow: definition.name, version: definition.version }) }),
      };
    },
  };
}

function planned(planner: FlowPlanner, body: NewFlowBody): PlannedFlow {
  const plan = planner.plan(body.flow, body.input);
  switch (plan.kind) {
    case 'planned':
      return plan.flow;
    case 'unknown-flow':
      throw fieldError('unknown-flow', '/flow', 'No flow definition has this name.');
    case 'invalid-input':
      throw issuesError(plan.issues, '/input');
    case 'invalid-flow':
      throw invalidFlow(plan.faults);
  }
}

// What was sent is what is kept: the engine parses it again with the same schema before every attempt.
function inputText(input: unknown): string {
  const storable = storableJson(input, LIMITS.bodyBytesMax);
  if (storable.ok) return storable.text;
  throw fieldError('validation', '/input', storable.problem);
}

function invalidFlow(faults: readonly FlowFault[]): AppError {
  const errors = faults.slice(0, 50).map(({ phase, message }) => ({
    pointer: '/input',
    code: 'invalid-flow',
    message: phase === null ? message : `phase ${phase.slice(0, 100)}: ${message}`,
  }));
  return new AppError('invalid-flow', { detail: errors[0]?.message ?? 'The phases do not fit together.', errors });
}
