// What users import to write flows.
export type {
  ChildFlow,
  ImportContent,
  ImportedRows,
  ImportOutcome,
  ImportSource,
  LockOptions,
  LogLevel,
  PhaseContext,
  PhaseLog,
  RateLimitOptions,
  StartOptions,
  TransactionClient,
} from './context.ts';
export { defineFlow, definePhase } from './define-flow.ts';
export type {
  FlowDefinition,
  HttpDefinition,
  HttpMessage,
  PhaseDefinition,
  PhaseFacts,
  PhaseHandler,
  PhaseTable,
  RateWindow,
  RunDefinition,
  WaitDefinition,
  WorkOptions,
} from './define-flow.ts';
export { createFlowPlanner } from './flow-planner.ts';
export type { FlowPlan, FlowPlanner, PlannedFlow } from './flow-planner.ts';
export { windowsOf } from './rate-limits.ts';
export { headerProblems, urlProblems } from './http-problems.ts';
export { createFlowRegistry } from './registry.ts';
export type { FlowRegistry } from './registry.ts';
export { phaseTable, planPhases } from './plan-phases.ts';
export type { FlowFault, PhasePlan, PlannedPhase } from './plan-phases.ts';
export { isPermanentError, PermanentError } from './permanent-error.ts';
export { ChildFlowFailed, SignalTimeout } from './wait-errors.ts';
