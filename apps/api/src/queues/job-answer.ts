// A job as clients read it. Which job they mean is in the id: a phase or chunk, and with a number at its end one of its deliveries.
import { isUuid, jobIdOf, type JobAnswer, type JobState } from '@millrace/shared';
import type { StoredJob } from '@millrace/store';

/** `generation` is null when the id names the phase: its latest job is meant. */
export type AskedJob = { id: string; generation: number | null };

const UUID_LENGTH = 36;
const GENERATION_PATTERN = /^-([1-9]\d{0,8})$/;

/** Undefined when it can be no id of a job. */
export function parseJobId(text: string): AskedJob | undefined {
  const [id, rest] = [text.slice(0, UUID_LENGTH).toLowerCase(), text.slice(UUID_LENGTH)];
  if (!isUuid(id)) return undefined;
  if (rest === '') return { id, generation: null };
  const match = GENERATION_PATTERN.exec(rest);
  return match === null ? undefined : { id, generation: Number(match[1]) };
}

/** Undefined when there has not been such a job yet. */
export function jobAnswer(job: StoredJob, generation: number | null): JobAnswer | undefined {
  if (generation !== null && generation > job.generation) return undefined;
  const asked = generation ?? job.generation;
  const isPhase = job.queue === 'flow-phase';
  return {
    id: jobIdOf({ id: job.id, generation: asked }),
    queue: job.queue,
    state: asked < job.generation ? 'superseded' : stateOf(job),
    generation: asked,
    latestGeneration: job.generation,
    ...(isPhase
      ? { flowId: job.subject_id, flow: job.subject_name, phase: job.name }
      : { importId: job.subject_id, chunk: Number(job.name) }),
    priority: job.priority,
    worker: job.worker,
    attemptsUsed: job.attempts,
    attemptsMax: job.attempt_max,
    attempts: job.history.map(({ attempt, run, outcome, worker, error, started_at: startedAt, finished_at: finishedAt }) => ({
      attempt,
      run,
      outcome,
      worker,
      ...(error === null ? {} : { error: { code: error.code, message: error.message } }),
      startedAt: new Date(startedAt).toISOString(),
      finishedAt: new Date(finishedAt).toISOString(),
    })),
    ...(job.error === null ? {} : { error: { code: job.error.code, message: job.error.message } }),
    dueAt: job.due_at?.toISOString() ?? null,
    startedAt: job.started_at?.toISOString() ?? null,
    finishedAt: job.finished_at?.toISOString() ?? null,
  };
}

function stateOf(job: StoredJob): JobState {
  switch (job.status) {
    case 'pending':
      return 'none';
    case 'queued':
      return job.dispatched ? (job.is_delayed ? 'delayed' : 'queued') : 'none';
    case 'retrying':
      return 'delayed';
    case 'waiting':
      return 'suspended';
    case 'quarantined':
      return 'failed';
    case 'running':
    case 'completed':
    case 'failed':
    case 'skipped':
    case 'cancelled':
      return job.status;
  }
}
