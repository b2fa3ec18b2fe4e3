// Rows of a flow as clients read them. Only what is named here leaves the house.
import {
  isTerminalFlow,
  type CancellationAnswer,
  type FlowAnswer,
  type FlowPauseAnswer,
  type ListedFlowAnswer,
  type PhaseAnswer,
  type Progress,
} from '@millrace/shared';
import type { FlowPause, FlowSnapshot, ListedFlow, StoredCancellation, StoredFlow, StoredPhase } from '@millrace/store';
import { flowLinks } from './flow-links.ts';

type Head = Omit<StoredFlow, 'input' | 'seq_last' | 'pause'>;

/** @param progress latest reports by phase name; empty when Redis is away */
export function flowAnswer(stored: FlowSnapshot, progress: ReadonlyMap<string, Progress>): FlowAnswer {
  const { flow, phases } = stored;
  const completed = phases.filter((phase) => phase.status === 'completed');
  return {
    ...headAnswer(flow),
    input: flow.input,
    outputs: Object.fromEntries(completed.map((phase) => [phase.name, phase.output])),
    phases: phases.map((phase) => phaseAnswer(phase, isTerminalFlow(flow.status) ? undefined : progress.get(phase.name))),
    ...(flow.status === 'paused' && flow.pause !== null ? { pause: pauseAnswer(flow.pause) } : {}),
    ...(stored.cancellation === null ? {} : { cancellation: cancellationAnswer(stored.cancellation) }),
  };
}

function pauseAnswer({ by, reason, at, until }: FlowPause): FlowPauseAnswer {
  return { by, reason, at: new Date(at).toISOString(), until: until === null ? null : new Date(until).toISOString() };
}

/** A flow that was archived: nothing of it can be linked to any more. */
export function archivedDocument(stored: { flow: StoredFlow; phases: readonly StoredPhase[] }): Omit<FlowAnswer, 'links'> {
  const { links: _links, ...rest } = flowAnswer({ flow: stored.flow, phases: [...stored.phases], cancellation: null }, new Map());
  return rest;
}

export function listedFlowAnswer(flow: ListedFlow): ListedFlowAnswer {
  return { ...headAnswer(flow), phasesTotal: flow.phases_total, phasesOpen: flow.phases_open };
}

function headAnswer(flow: Head) {
  return {
    id: flow.id,
    flow: flow.name,
    version: flow.version,
    status: flow.status,
    run: flow.run,
    workspace: flow.workspace,
    tags: flow.tags,
    priority: flow.priority,
    createdAt: flow.created_at.toISOString(),
    startedAt: instant(flow.started_at),
    finishedAt: instant(flow.finished_at),
    runAt: instant(flow.run_at),
    expiresAt: instant(flow.expires_at),
    concurrencyKey: flow.concurrency_key,
    concurrencyLimit: flow.concurrency_key === null ? null : flow.concurrency_limit,
    ...(flow.error === null ? {} : { error: errorAnswer(flow.error) }),
    links: flowLinks(flow.id),
  };
}

function phaseAnswer(phase: StoredPhase, progress: Progress | undefined): PhaseAnswer {
  return {
    id: phase.id,
    name: phase.name,
    status: phase.status,
    needs: phase.needs,
    attempts: phase.attempts,
    ...(phase.status === 'completed' ? { output: phase.output } : {}),
    ...(phase.error === null ? {} : { error: { code: phase.error.code, message: phase.error.message } }),
    startedAt: instant(phase.started_at),
    finishedAt: instant(phase.finished_at),
    ...(progress === undefined ? {} : { progress }),
  };
}

function cancellationAnswer({ requested_at, by, phases }: StoredCancellation): CancellationAnswer {
  return {
    requestedAt: requested_at.toISOString(),
    by,
    phases: phases.map((one) => ({
      phase: one.phase,
      worker: one.worker,
      requestedAt: one.requested_at.toISOString(),
      seenAt: instant(one.seen_at),
      endedAt: instant(one.ended_at),
      how: one.how,
    })),
  };
}

function errorAnswer(error: { code: string; message: string; phase?: string }) {
  return { code: error.code, message: error.message, ...(error.phase === undefined ? {} : { phase: error.phase }) };
}

function instant(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}
