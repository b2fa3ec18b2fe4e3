// A step of a purge: the next few dead phases of the selection leave the list.
import { nextDeadPhases, positionOf, purgeDead } from '@millrace/store';
import { selectionOf } from './dead-selection-of.ts';
import { ended, paceOf, waiting, type Step } from './operation-step.ts';

const PHASES_MAX = 200;

export const purgeStep: Step = async (client, operation) => {
  const pace = paceOf(operation, PHASES_MAX);
  if (pace.count === 0) return waiting({}, pace.waitMs);
  const { selection, after } = selectionOf(operation);
  const phases = await nextDeadPhases(client, selection, { after, limit: pace.count });
  const last = phases.at(-1);
  if (last === undefined) return ended({});
  const succeeded = await purgeDead(client, { phases, by: operation.created_by });
  return {
    change: {
      done: phases.length,
      succeeded,
      skipped: phases.length - succeeded,
      cursor: positionOf(last),
      pacedAtMs: pace.after(phases.length),
    },
    result: { events: [], cancelled: [], next: 'now' },
  };
};
