// What a scenario gets and gives.
import type { Measurement } from './measure.ts';

export type BenchOptions = {
  databaseUrl: string;
  redisUrl: string;
  /** Fewer and shorter runs, to see that everything works. */
  quick: boolean;
  /** False: our own side only. */
  peers: boolean;
  say(line: string): void;
};

export type Scenario = { name: string; about: string; run(options: BenchOptions): Promise<Measurement[]> };
