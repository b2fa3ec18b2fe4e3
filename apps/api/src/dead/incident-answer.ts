// Incidents and dead phases as clients read them.
import { failureCause, type DeadPhaseAnswer, type IncidentAnswer } from '@millrace/shared';
import type { DeadPhase, Incident } from '@millrace/store';

/** What stands for an error that was never kept. */
export const NO_ERROR = { code: 'unknown', message: '' };

export function incidentAnswer(incident: Incident): IncidentAnswer {
  return {
    id: incident.id,
    cause: failureCause(incident.error ?? NO_ERROR),
    flow: incident.flow,
    phase: incident.phase,
    count: incident.count,
    countCapped: incident.count_capped,
    firstAt: incident.first_at.toISOString(),
    lastAt: incident.last_at.toISOString(),
    sample: incident.sample,
  };
}

export function deadPhaseAnswer(phase: DeadPhase): DeadPhaseAnswer {
  const { code, message } = phase.error ?? NO_ERROR;
  return {
    id: phase.id,
    flowId: phase.flow_id,
    flowStatus: phase.flow_status,
    status: phase.status,
    attempts: phase.attempts,
    error: { code, message },
    failedAt: phase.finished_at.toISOString(),
  };
}
