// The only package that knows SQL.
export { asAppError, connect, createDatabase, inTransaction, isDataFault, isTransient } from './database.ts';
export type { Database, DatabaseOptions, PoolClient, Queryable } from './database.ts';
export { appendLogs, readEvents, readHeads } from './events/event-store.ts';
export type { EventPage, LogLine } from './events/event-store.ts';
export { publicEvent } from './events/logged-event.ts';
export type { LoggedEvent } from './events/logged-event.ts';
export {
  backlogLanes,
  dispatchAgain,
  expiredLeases,
  overdueWaits,
  postponeCheck,
  releaseHeld,
  takeBacklog,
  unclaimed,
} from './flows/backlog.ts';
export { mintCallbackToken } from './flows/callback-token.ts';
export type { CallbackRight } from './flows/callback-token.ts';
export { awaitCallback, completeCallback, failCallback, failOverdueCallbacks } from './flows/callbacks.ts';
export type { CallbackFailure, CallbackOutcome, CallbackWait } from './flows/callbacks.ts';
export { cancelFlow } from './flows/cancel-flow.ts';
export type { FlowActionOutcome } from './flows/cancel-flow.ts';
export { cancelledAmong, closeUnanswered, fillReceipts } from './flows/cancellations.ts';
export type { CancelledHow, CancelReceipt } from './flows/cancellations.ts';
export { claimPhases } from './flows/claim-phases.ts';
export type { ClaimedPhase, ClaimOutcome, ClaimResult } from './flows/claim-phases.ts';
export { completePhases } from './flows/complete-phases.ts';
export { CHILD_DEPTH_MAX, orphans, readChildOutputs, readChildren, settleChildren, startChildren } from './flows/children.ts';
export type { Child, ChildPolicy, NewChild, Parent } from './flows/children.ts';
export { suspendPhases } from './flows/suspend-phases.ts';
export type { Awaits, PhaseSuspension } from './flows/suspend-phases.ts';
export { wakePhases } from './flows/wake-phases.ts';
export type { CompletionOutcome, ContinuedPhase, PhaseCompletion } from './flows/complete-phases.ts';
export { createFlows } from './flows/create-flows.ts';
export type { CreatedFlow, NewFlow, NewPhase } from './flows/create-flows.ts';
export { failOverdueWait, failPhase } from './flows/fail-phase.ts';
export type { FailureOutcome, PhaseError, PhaseFailure } from './flows/fail-phase.ts';
export { renewLeases } from './flows/lease-phases.ts';
export type { HeldPhase } from './flows/lease-phases.ts';
export { nextLockFence } from './flows/lock-fence.ts';
export { listFlows } from './flows/list-flows.ts';
export type { FlowFilter, ListedFlow } from './flows/list-flows.ts';
export { readFlow, readFlowHead } from './flows/read-flow.ts';
export type { FlowSnapshot, StoredCancellation, StoredFlow, StoredPhase } from './flows/read-flow.ts';
export { OUTPUTS_BYTES_MAX, readOutputs } from './flows/read-outputs.ts';
export { isCondemned, markAlone, quarantinePhase, SUSPECT_CRASHES } from './flows/quarantine.ts';
export { releasePhases } from './flows/release-phases.ts';
export type { PhaseRelease, ReleaseOutcome } from './flows/release-phases.ts';
export { retryFlow } from './flows/retry-flow.ts';
export { deliverKept, readSignal, sendSignal, undeliveredSignals } from './flows/signals.ts';
export type { NewSignal, SignalOutcome } from './flows/signals.ts';
export { readSteps, saveStep } from './flows/steps.ts';
export { readInstance } from './instance.ts';
export type { Instance } from './instance.ts';
export { createKey, createKeyOnce, findKey, listKeys, revokeKey } from './keys/key-store.ts';
export type { CreatedKey, KeyOnce, NewKey, StoredKey } from './keys/key-store.ts';
export { migrate, readMigrations, schemaVersion } from './migrate.ts';
export { ensureSelftestTable } from './selftest-table.ts';
export { waitForSchema } from './wait-for-schema.ts';
export { exportRows, readRows, shownColumns } from './datasets/dataset-rows.ts';
export type { RowsPage } from './datasets/dataset-rows.ts';
export { dropDataset } from './datasets/drop-dataset.ts';
export type { DropDatasetOutcome } from './datasets/drop-dataset.ts';
export { putDataset } from './datasets/put-dataset.ts';
export type { DatasetChange, PutDatasetOutcome } from './datasets/put-dataset.ts';
export { listDatasets, readDataset } from './datasets/read-dataset.ts';
export type { StoredDataset } from './datasets/read-dataset.ts';
export { acceptContent, readImportDataset, refuseContent } from './imports/accept-content.ts';
export type { AcceptOutcome, IndexedContent, NewChunk, ReceivedContent } from './imports/accept-content.ts';
export { cancelImport } from './imports/cancel-import.ts';
export { dispatchChunksAgain, expiredChunks, postponeChunkCheck, reclaimChunk, unclaimedChunks } from './imports/chunks/chunk-backlog.ts';
export type { BacklogLane } from './flows/backlog.ts';
export { claimChunk } from './imports/chunks/claim-chunk.ts';
export type { ChunkClaim, ClaimedChunk } from './imports/chunks/claim-chunk.ts';
export type { ChunkCounts } from './imports/chunks/complete-chunk.ts';
export { renewChunkLease } from './imports/chunks/lease-chunks.ts';
export { failImport, releaseChunk } from './imports/chunks/release-chunk.ts';
export type { HeldChunk, ImportFailure } from './imports/chunks/release-chunk.ts';
export { createImport } from './imports/create-import.ts';
export type { CreatedImport, NewImport } from './imports/create-import.ts';
export type { ImportActionOutcome } from './imports/import-change.ts';
export { openImported } from './imports/imported-rows.ts';
export type { ImportedRows } from './imports/imported-rows.ts';
export { finishImport, keptContent } from './imports/kept-content.ts';
export { REJECTS_KEPT_MAX } from './imports/loading/insert-rejects.ts';
export type { NewReject } from './imports/loading/insert-rejects.ts';
export { loadChunk } from './imports/loading/load-chunk.ts';
export type { ChunkLoad, ChunkSource, LoadOutcome } from './imports/loading/load-chunk.ts';
export { listImports, readImport, readImportHead } from './imports/read-import.ts';
export type { ImportFilter } from './imports/read-import.ts';
export { exportRejects, readRejects } from './imports/read-rejects.ts';
export type { StoredReject } from './imports/read-rejects.ts';
export { retryImport } from './imports/retry-import.ts';
export type { ImportError, ImportOptions, ImportPlan, StoredImport } from './imports/stored-import.ts';
export { releaseUploadSlot, takeUploadSlot, UPLOAD_SLOT_MS } from './imports/upload-slot.ts';
