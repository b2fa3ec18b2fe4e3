// A peer of our phases per second, as the scenario sees it: settings to try, and how fast it is with each.
import type { BenchOptions } from '../scenario.ts';

export type RivalLoad = { processes: number; quick: boolean };

export type RivalSetting = {
  /** Shown beside its figure. */
  label: string;
  /** Jobs, or steps, per second. */
  rate(load: RivalLoad): Promise<number>;
};

export type Rival = {
  name: string;
  /** The least that our phases per second, divided by its jobs per second, should be. */
  goal: number;
  /** It runs with as many worker processes as we do, up to this. */
  processesMax: number;
  /** Why it cannot be measured here; undefined when it can. */
  missing(): Promise<string | undefined>;
  /** The sensible ones; the best counts. */
  settings: readonly RivalSetting[];
};

export type CreateRival = (options: BenchOptions) => Rival;

export const always = () => Promise.resolve(undefined);
