// What a definition makes of a schedule's flow at the moment it fires: the definition may have changed since the schedule was made.
import type { FlowFault, FlowPlanner } from '@millrace/sdk';
import type { FireOptions, ScheduledPlan } from '@millrace/store';

const REASON_CHARS_MAX = 500;
const FAULTS_MAX = 5;

/** Never throws: why no flow can be made is an answer, too. */
export function createSchedulePlan(planner: FlowPlanner): FireOptions['plan'] {
  return ({ flow, input }) => {
    try {
      return planned(planner, flow, input);
    } catch (error) {
      // A definition whose phases or schema are functions is code of the user's.
      return failed(`flow ${flow} could not be planned: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}

function planned(planner: FlowPlanner, flow: string, input: unknown): ScheduledPlan {
  const plan = planner.plan(flow, input);
  switch (plan.kind) {
    case 'planned': {
      const { definition, phases, timeoutMs, expiresInMs } = plan.flow;
      return { kind: 'planned', version: definition.version, phases, timeoutMs, expiresInMs };
    }
    case 'unknown-flow':
      return failed(`no flow definition has the name ${flow}`);
    case 'invalid-input':
      return failed(
        `the input does not fit flow ${flow}: ${listed(plan.issues.map((issue) => `/${issue.path.join('/')} ${issue.message}`))}`,
      );
    case 'invalid-flow':
      return failed(`the phases of flow ${flow} do not fit together: ${listed(plan.faults.map(faultText))}`);
  }
}

function faultText({ phase, message }: FlowFault): string {
  return phase === null ? message : `${phase}: ${message}`;
}

function listed(faults: readonly string[]): string {
  return faults.slice(0, FAULTS_MAX).join('; ');
}

function failed(reason: string): ScheduledPlan {
  return { kind: 'failed', reason: reason.slice(0, REASON_CHARS_MAX) };
}
