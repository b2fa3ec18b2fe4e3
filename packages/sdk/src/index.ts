// What users import to write flows.
export type { ImportedRows, LockOptions, LogLevel, PhaseContext, PhaseLog, TransactionClient } from './context.ts';
export { defineFlow, definePhase } from './define-flow.ts';
export type { FlowDefinition, PhaseDefinition, PhaseHandler, PhaseTable, RunDefinition, WaitDefinition } from './define-flow.ts';
export { createFlowRegistry } from './registry.ts';
export type { FlowRegistry } from './registry.ts';
export { phaseTable, planPhases } from './plan-phases.ts';
export type { FlowFault, PhasePlan, PlannedPhase } from './plan-phases.ts';
export { isPermanentError, PermanentError } from './permanent-error.ts';
