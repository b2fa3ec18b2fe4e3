// What every command gets from main.ts.
import type { StepReporter } from '../terminal/step-reporter.ts';
import type { Interruption } from './interruption.ts';

export type CommandContext = {
  /** The repository, absolute. */
  root: string;
  env: NodeJS.ProcessEnv;
  /** Where the user was when they typed the command; paths on the command line are relative to it. */
  userFolder: string;
  out: NodeJS.WritableStream & { isTTY?: boolean };
  reporter: StepReporter;
  interruption: Interruption;
};
