// What becomes of each time of a schedule that has come: the catch-up policy says which are fired, the overlap policy what happens to those.
// Pure; the caller has locked the schedule and writes down what is decided here.
import type { CatchUpPolicy, FireOutcome, OverlapPolicy } from '@millrace/shared';

export type Situation = {
  overlap: OverlapPolicy;
  catchUp: CatchUpPolicy;
  nowMs: number;
  /** One of its flows that have not ended. */
  openFlowId: string | null;
  /** Whether an earlier fire waits. */
  hasQueued: boolean;
  /** Why no flow can be made of it now; null: one can. */
  fault: string | null;
};

/** `count` over 1: so many missed times from this one on. */
export type Decision = { dueAtMs: number; outcome: FireOutcome; count: number; reason: string | null };

export type Decisions = {
  /** In order of time. */
  fires: Decision[];
  /** The fire that was queued before gives way. */
  supersedesQueued: boolean;
};

/** A time that nobody fired within this is late, and the catch-up policy decides about it. */
export const LATE_MS = 60_000;
/** Missed times that are listed one by one, and the most that `all` fires; older ones become one entry with their number. */
export const LISTED_MAX = 100;

export const SUPERSEDED = 'a later fire took its place';

/** @param dueMs every time that has come and was not dealt with, in order */
export function decideFires(dueMs: readonly number[], situation: Situation): Decisions {
  const { missed, wanted } = splitByCatchUp(dueMs, situation);
  const { fires, supersedesQueued } = applyOverlap(wanted, situation);
  return { fires: [...missedFires(missed, situation.catchUp), ...fires], supersedesQueued };
}

/** Entries for missed times: one for each of the newest, and one with the number of those before. */
export function listMissed(dueMs: readonly number[], reason: string): Decision[] {
  const summed = dueMs.slice(0, Math.max(0, dueMs.length - LISTED_MAX));
  const listed = dueMs.slice(summed.length).map((at) => missedDecision(at, 1, reason));
  return [...(summed.length === 0 ? [] : [missedDecision(summed[0] ?? 0, summed.length, reason)]), ...listed];
}

/** One entry for times that are too many to be listed, and of which later ones are left. */
export function sumMissed(dueMs: readonly number[]): Decision {
  return missedDecision(dueMs[0] ?? 0, dueMs.length, 'nobody fired them in time, and there are too many to list or to catch up');
}

function splitByCatchUp(dueMs: readonly number[], { catchUp, nowMs }: Situation): { missed: readonly number[]; wanted: readonly number[] } {
  const lateCount = dueMs.filter((at) => nowMs - at > LATE_MS).length;
  const missedCount = { none: lateCount, last: lateCount === 0 ? 0 : dueMs.length - 1, all: Math.max(0, lateCount - LISTED_MAX) }[catchUp];
  return { missed: dueMs.slice(0, missedCount), wanted: dueMs.slice(missedCount) };
}

const MISSED_REASONS: Record<CatchUpPolicy, string> = {
  none: 'nobody fired it in time, and nothing is caught up',
  last: 'nobody fired it in time, and only the newest is caught up',
  all: `nobody fired it in time, and at most ${LISTED_MAX} are caught up`,
};

function missedFires(missed: readonly number[], catchUp: CatchUpPolicy): Decision[] {
  const reason = MISSED_REASONS[catchUp];
  // With `all` those that are fired make the list.
  if (catchUp === 'all') return missed.length === 0 ? [] : [missedDecision(missed[0] ?? 0, missed.length, reason)];
  return listMissed(missed, reason);
}

function missedDecision(dueAtMs: number, count: number, reason: string): Decision {
  return { dueAtMs, outcome: 'missed', count, reason };
}

function applyOverlap(wanted: readonly number[], situation: Situation): Decisions {
  const fires: Decision[] = [];
  let busy = situation.openFlowId === null ? null : `flow ${situation.openFlowId} had not ended`;
  let queued = situation.hasQueued;
  let queuedHere = -1;
  let supersedesQueued = false;
  for (const dueAtMs of wanted) {
    const outcome = situation.fault === null ? outcomeOf(situation.overlap, { busy: busy !== null, queued }) : 'failed';
    const fire: Decision = { dueAtMs, outcome, count: 1, reason: reasonOf(outcome, { busy, queued, fault: situation.fault }) };
    if (outcome === 'queued') {
      const earlier = fires[queuedHere];
      if (earlier !== undefined) fires[queuedHere] = { ...earlier, outcome: 'skipped', reason: SUPERSEDED };
      supersedesQueued ||= queued && earlier === undefined;
      queued = true;
      queuedHere = fires.length;
    }
    if (outcome === 'started') busy = `the flow of ${new Date(dueAtMs).toISOString()} had not ended`;
    fires.push(fire);
  }
  return { fires, supersedesQueued };
}

function outcomeOf(overlap: OverlapPolicy, { busy, queued }: { busy: boolean; queued: boolean }): 'started' | 'queued' | 'skipped' {
  if (overlap === 'allow' || (!busy && !queued)) return 'started';
  if (overlap === 'cancel-previous') return 'queued';
  return overlap === 'queue' && !queued ? 'queued' : 'skipped';
}

type Reasons = { busy: string | null; queued: boolean; fault: string | null };

function reasonOf(outcome: Decision['outcome'], { busy, queued, fault }: Reasons): string | null {
  if (outcome === 'started') return null;
  if (outcome === 'failed') return fault;
  return outcome === 'skipped' && queued ? 'another fire was waiting already' : busy;
}
