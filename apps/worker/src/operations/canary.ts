// How a replay feels its way: how many runs each step opens, and when what came of them says to stop. Pure; the runs are drawn, opened and
// judged elsewhere.

/** Runs by how they ended. */
export type CanaryCounts = { recovered: number; returned: number; otherwise: number };

/** The first steps. Their flows are drawn at random, so that the order in which things failed does not hide what is still broken. */
const FIRST_STEPS: readonly number[] = [5, 5, 10];
/** Flows to draw: all of the first steps. A replay that should be stopped is stopped within them. */
export const CANARY_RUNS = FIRST_STEPS.reduce((sum, step) => sum + step, 0);
/** More would take long to be judged, and all of it would be out before anybody sees that it should not. */
const STEP_MAX = 1_000;

/**
 * Up to CANARY_RUNS one failure may return: it may be a coincidence. Of a half-broken set, 2 in 100,000 draws of twenty have no more than
 * one. Afterwards one in twenty may.
 */
const RETURNED_SHARE_MAX = 1 / 20;
const RETURNED_MIN = 1;
/** Failures of another kind say less about what was mended, so more of them are borne. */
const FAILED_SHARE_MAX = 1 / 10;
const FAILED_MIN = 2;

/** Runs of the step that follows after `released` in all: 5, 5, 10, then as many as there were before, up to 1,000. */
export function nextStepSize(released: number): number {
  let before = 0;
  for (const step of FIRST_STEPS) {
    if (released < before + step) return before + step - released;
    before += step;
  }
  return Math.min(released, STEP_MAX);
}

/** Why the replay has to stop, or null when it may go on. */
export function canaryVerdict({ recovered, returned, otherwise }: CanaryCounts): string | null {
  const ended = recovered + returned + otherwise;
  if (returned > Math.max(RETURNED_MIN, ended * RETURNED_SHARE_MAX)) return `the same failure came back in ${returned} of ${ended} runs`;
  const failed = returned + otherwise;
  if (failed > Math.max(FAILED_MIN, ended * FAILED_SHARE_MAX))
    return `${failed} of ${ended} runs failed again, ${otherwise} of them in another way`;
  return null;
}
