// Gathers what a handler waits for without a worker, and says when the handler has nothing left to do but wait. Its waiting calls never
// settle: the handler is left where it is and runs again from its start when what it waits for has come.
import type { Awaits } from '@millrace/store';

export type Suspension = {
  /** Never settles. */
  wait(wanted: { until?: Date; signal?: string; children?: true }): Promise<never>;
  /** The handler was told that a child flow failed: that failure does not wake it again. */
  sawFailure(): void;
  /** Work that must end before the handler is left: its result would be lost. */
  track<T>(work: () => Promise<T>): Promise<T>;
};

/** Calls `onSuspended` once: when the handler waits and none of its steps is under way. */
export function createSuspension(onSuspended: (awaits: Awaits) => void): Suspension {
  const names = new Set<string>();
  let until = Infinity;
  let children = false;
  let failuresSeen = 0;
  let wanted = false;
  let underWay = 0;
  let told = false;
  const awaits = (): Awaits => ({
    kind: children ? 'children' : names.size > 0 ? 'signal' : 'time',
    until: until === Infinity ? null : new Date(until).toISOString(),
    names: [...names],
    children,
    failuresSeen,
  });
  // Twice round the event loop: what was settled a moment ago may call for the next step.
  const consider = () => {
    if (!wanted || underWay > 0) return;
    setImmediate(() => {
      setImmediate(() => {
        if (underWay > 0 || told) return;
        told = true;
        onSuspended(awaits());
      });
    });
  };
  return {
    wait: (what) => {
      wanted = true;
      if (what.signal !== undefined) names.add(what.signal);
      if (what.children === true) children = true;
      if (what.until !== undefined) until = Math.min(until, what.until.getTime());
      consider();
      return new Promise<never>(() => undefined);
    },
    sawFailure: () => {
      failuresSeen += 1;
    },
    track: async (work) => {
      underWay += 1;
      try {
        return await work();
      } finally {
        underWay -= 1;
        consider();
      }
    },
  };
}
