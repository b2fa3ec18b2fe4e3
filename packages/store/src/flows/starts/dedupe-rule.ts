// What a start does whose dedupe key stands for another flow. The same rule is in millrace.start_flow, for starts in SQL.
import { isTerminalFlow, type DedupeMode, type FlowStatus } from '@millrace/shared';

/** The flow that a key stands for, and how long ago the start that made it was accepted. */
export type KeyHolder = { status: FlowStatus; started: boolean; ageMs: number };

/** create: as if there were no other. existing: the other is the answer. duplicate: refused. replace: the other is cancelled first. */
export type DedupeDecision = 'create' | 'existing' | 'duplicate' | 'replace';

/** @param holder undefined when the key stands for nothing, or for a flow that was deleted */
export function decideStart(dedupe: { mode: DedupeMode; windowMs: number | null }, holder: KeyHolder | undefined): DedupeDecision {
  if (holder === undefined) return 'create';
  if (dedupe.mode === 'window') return holder.ageMs < (dedupe.windowMs ?? 0) ? 'existing' : 'create';
  if (isTerminalFlow(holder.status)) return 'create';
  if (dedupe.mode === 'reject') return 'duplicate';
  return dedupe.mode === 'replace' && !holder.started ? 'replace' : 'existing';
}
