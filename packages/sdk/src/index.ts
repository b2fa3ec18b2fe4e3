// What users import to write flows.
export type {
  ImportContent,
  ImportedRows,
  ImportOutcome,
  ImportSource,
  LockOptions,
  LogLevel,
  PhaseContext,
  PhaseLog,
  RateLimitOptions,
  TransactionClient,
} from './context.ts';
export { defineFlow, definePhase } from './define-flow.ts';
export type {
  FlowDefinition,
  HttpDefinition,
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
export { limitKeyOf, limitNameOf, windowsOf } from './rate-limits.ts';
export type { PlannedWindow } from './rate-limits.ts';
export { createFlowRegistry } from './registry.ts';
export type { FlowRegistry } from './registry.ts';
export { phaseTable, planPhases } from './plan-phases.ts';
export type { FlowFault, PhasePlan, PlannedPhase } from './plan-phases.ts';
export { isPermanentError, PermanentError } from './permanent-error.ts';
