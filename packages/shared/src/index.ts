// The vocabulary of Millrace: what every other package may use. No I/O.
export { AppError, fieldError } from './app-error.ts';
export type { AppErrorDetails, FieldError } from './app-error.ts';
export { backoffDelayMs, DEFAULT_RETRY } from './backoff.ts';
export type { BackoffPolicy, RetryPolicy } from './backoff.ts';
export { canonicalJson } from './canonical-json.ts';
export { deepFreeze } from './deep-freeze.ts';
export { durationMs } from './duration.ts';
export type { Duration } from './duration.ts';
export { ERROR_TABLE, PROBLEM_TYPE_BASE } from './error-table.ts';
export type { ErrorClass, ErrorCode } from './error-table.ts';
export { FLOW_END_EVENTS, IMPORT_END_EVENTS, isEndEvent } from './event.ts';
export type { FlowEvent, ImportEvent, Progress } from './event.ts';
export { groupIdOf, isUuid, lastMemberId, MEMBER_COUNT_MAX, memberId, newGroupId, newId, timeOfId } from './ids.ts';
export { jobIdOf, QUEUE_NAMES } from './job.ts';
export type { Dispatch, JobRef, QueueName } from './job.ts';
export { LIMITS } from './limits.ts';
export { FLOW_TRANSITIONS } from './lifecycle/flow-transitions.ts';
export { PHASE_TRANSITIONS } from './lifecycle/phase-transitions.ts';
export { mayChange } from './lifecycle/transition.ts';
export type { Transition } from './lifecycle/transition.ts';
export { PRIORITY_STEP_MS, rankOf } from './rank.ts';
export { limitKeyOf, limitNameOf } from './rate-key.ts';
export { DEFAULT_WORKSPACE, roleAllows, ROLES } from './roles.ts';
export type { Principal, Role } from './roles.ts';
export { countedTokens, emptyAtMsOf, freeTokens, standInLine, takeTokens } from './sliding-windows.ts';
export type { PlaceInLine, SlidingWindow, TakenTokens, UsedOfWindow, WindowedLimit } from './sliding-windows.ts';
export { ATTEMPT_OUTCOMES, FLOW_STATUSES, IMPORT_STATUSES, isTerminalFlow, isTerminalImport, PHASE_STATUSES } from './statuses.ts';
export type { AttemptOutcome, FlowStatus, ImportStatus, PhaseStatus } from './statuses.ts';
export { storableJson } from './storable-json.ts';
export type { StorableJson } from './storable-json.ts';
export { archivedFlowSchema, archiveListQuery, archivePageSchema } from './rest/archive.ts';
export type { ArchivedFlowAnswer, ArchivedHeadAnswer } from './rest/archive.ts';
export { callbackAnswerSchema, callbackSchema } from './rest/callbacks.ts';
export type { CallbackBody } from './rest/callbacks.ts';
export { instantSchema, pageOf, pageQuery, problemSchema, queryInteger } from './rest/common.ts';
export type { ProblemBody } from './rest/common.ts';
export {
  acceptedFlowSchema,
  batchAnswerSchema,
  flowPageSchema,
  flowSchema,
  listedFlowSchema,
  progressListSchema,
  progressSchema,
} from './rest/flow-answers.ts';
export type { AcceptedFlow, CancellationAnswer, FlowAnswer, ListedFlowAnswer, PhaseAnswer } from './rest/flow-answers.ts';
export { explainSchema, EXPLAIN_CAUSES } from './rest/explain.ts';
export type { BlockerKind, ExplainAnswer, ExplainCause } from './rest/explain.ts';
export { pauseFlowSchema, pauseQueueSchema, resumeQueueSchema } from './rest/pauses.ts';
export type { FlowPauseAnswer } from './rest/pauses.ts';
export { JOB_STATES, jobSchema, queuePageSchema, queueSchema, workerListQuery, workerPageSchema, workerSchema } from './rest/queues.ts';
export type { JobAnswer, JobState, QueueAnswer, WorkerAnswer } from './rest/queues.ts';
export { batchLineSchema, DEDUPE_MODES, newFlowSchema, PRIORITY_DEFAULT, tagsSchema } from './rest/flow-requests.ts';
export type { BatchLineBody, DedupeMode, NewFlowBody } from './rest/flow-requests.ts';
export { livenessSchema, readinessSchema, redisHealthSchema } from './rest/health.ts';
export { createdKeySchema, keyListQuery, keyPageSchema, keySchema, keyScopeQuery, newKeySchema } from './rest/keys.ts';
export type { KeyAnswer, NewKeyBody } from './rest/keys.ts';
export { workspaceChangeSchema, workspaceListQuery, workspacePageSchema, workspaceSchema } from './rest/workspaces.ts';
export {
  COLUMN_TYPES,
  datasetBodySchema,
  datasetColumnSchema,
  datasetListSchema,
  datasetNameSchema,
  datasetRowsSchema,
  datasetSchema,
} from './imports/dataset-schemas.ts';
export type { DatasetAnswer, DatasetBody, DatasetColumn, DatasetColumnType } from './imports/dataset-schemas.ts';
export {
  acceptedContentSchema,
  createdImportSchema,
  csvOptionsSchema,
  importBodySchema,
  importListQuery,
  importListSchema,
  importSchema,
  plainListQuery,
  rejectListSchema,
  rejectSchema,
} from './imports/import-schemas.ts';
export type {
  AcceptedContentAnswer,
  CreatedImportAnswer,
  CsvOptions,
  ImportAnswer,
  ImportBody,
  ImportListQuery,
  RejectAnswer,
} from './imports/import-schemas.ts';
export {
  listedScheduleSchema,
  newScheduleSchema,
  scheduleFirePageSchema,
  scheduleFireQuery,
  scheduleListQuery,
  schedulePageSchema,
  schedulePauseSchema,
  scheduleSchema,
} from './rest/schedules.ts';
export type { ListedScheduleAnswer, NewScheduleBody, ScheduleAnswer, ScheduleFireAnswer, SchedulePauseBody } from './rest/schedules.ts';
export { nextRuns } from './schedules/cron.ts';
export type { CronRule } from './schedules/cron.ts';
export type { CatchUpPolicy, FireOutcome, FireTrigger, OverlapPolicy } from './schedules/policies.ts';
export { failureCause } from './failures/failure-cause.ts';
export { incidentIdOf } from './failures/incident-id.ts';
export {
  deadListQuery,
  incidentDetailSchema,
  incidentPageSchema,
  incidentQuery,
  purgeBody,
  purgedSchema,
  replayBody,
  replayedSchema,
} from './rest/dead-letters.ts';
export type { DeadFilterBody, DeadPhaseAnswer, IncidentAnswer } from './rest/dead-letters.ts';
export { FLOW_FILTER_REPEATABLE, flowCountQuery, flowCountSchema, flowListQuery } from './rest/flow-filter.ts';
export type { FlowFilterBody, FlowListQuery } from './rest/flow-filter.ts';
export { parseInputMatch } from './rest/input-match.ts';
export type { InputMatch } from './rest/input-match.ts';
export {
  bulkBody,
  bulkDryRunSchema,
  OPERATION_TOTAL_MAX,
  operationListQuery,
  operationPageSchema,
  operationSchema,
} from './rest/operations.ts';
export type { BulkBody, CanaryAnswer, OperationAnswer, OperationKind, OperationStatus } from './rest/operations.ts';
