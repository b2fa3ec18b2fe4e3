// What starting an embedded server needs from its surroundings; the same for PostgreSQL and Redis.
import type { StepReporter } from '../terminal/step-reporter.ts';
import type { ProcessExit } from './process/supervised-process.ts';
import type { StopList } from './process/stop-list.ts';
import type { StateFolder } from './state/state-folder.ts';

export type ServerDeps = {
  folder: StateFolder;
  env: NodeJS.ProcessEnv;
  reporter: StepReporter;
  /** Gets the server before it is started, so that an interrupted start stops it too. */
  stopList: StopList;
  signal: AbortSignal;
  onExit(exit: ProcessExit): void;
};
