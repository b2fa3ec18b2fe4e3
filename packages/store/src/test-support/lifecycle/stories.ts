// Stories that are always told, step by step: each was the shortest one in which model and database once disagreed.
import type { FlowShape } from './model.ts';
import type { PhaseStep, Step } from './steps.ts';

const shape = (...needs: number[][]): FlowShape => ({
  phases: needs.map((list) => ({ needs: list, signal: null, timed: false, attemptMax: 1, rate: null })),
  key: null,
  limit: 1,
  later: false,
  expires: false,
  timeout: false,
  dispatch: true,
});
const work = (kind: PhaseStep['kind'], phase: number, choice = 0): Step => ({ kind, flow: 0, phase, before: 0, choice });

/** The choice of a `complete` that says: its own condition skipped it. */
const SKIPPED = 3;

export const STORIES: Record<string, readonly Step[]> = {
  'a retry leaves what its own condition skipped as it is': [
    { kind: 'create', shape: shape([], [], [1], [0]) },
    work('claim', 0),
    work('claim', 1),
    work('fail', 0),
    work('complete', 1, SKIPPED),
    work('claim', 2),
    work('complete', 2),
    { kind: 'retry', flow: 0, choice: 0 },
    { kind: 'dispatch' },
    work('claim', 0),
    work('complete', 0),
    work('claim', 3),
    work('complete', 3, SKIPPED),
  ],
};
