// The frame every process of ours runs in: configuration or exit 78, signals handled once, unknown failures logged and fatal.
import { ConfigFault } from './config-fault.ts';
import { loadConfig, type Config } from './load-config.ts';
import { createLogger, type Logger } from './logger.ts';

/** sysexits.h EX_CONFIG. */
const EXIT_CONFIG = 78;
/** Beyond the time that the work itself gets: for closing what is left. */
const STOP_MARGIN_MS = 8_000;
const SECOND_SIGNAL_AFTER_MS = 2_000;
const PARENT_CHECK_MS = 1_000;

export type ProcessFrame = { config: Config; log: Logger };

/** What a started process gives back: how to stop it. */
export type RunningProcess = { stop(reason: string): Promise<void> };

/**
 * Loads the configuration, starts, and stops once on SIGTERM or SIGINT with exit 0.
 * A terminal and npm may both deliver one Ctrl-C, so a second signal within 2 s is the same request; a later one ends the process at once (exit 1).
 */
export async function runProcess(
  name: string,
  start: (frame: ProcessFrame) => Promise<RunningProcess>,
  options: { needsRedis?: boolean } = {},
): Promise<void> {
  const loaded = loadConfig(process.env, options);
  if (!loaded.ok) {
    refuse(name, loaded.faults);
  }
  const log = createLogger({ name, level: loaded.config.logLevel });
  exitOnUnknownFailure(log);
  let running: RunningProcess | undefined;
  let stoppingSince: number | undefined;
  const stop = (reason: string) => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince > SECOND_SIGNAL_AFTER_MS) process.exit(1);
      return;
    }
    stoppingSince = performance.now();
    log.info({ reason }, 'stopping');
    // Whatever hangs then hangs for ever.
    setTimeout(() => process.exit(1), loaded.config.stopTimeoutMs + STOP_MARGIN_MS).unref();
    void (running?.stop(reason) ?? Promise.resolve()).then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'did not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => {
    stop('SIGTERM');
  });
  process.on('SIGINT', () => {
    stop('SIGINT');
  });
  stopWithNpm(stop);
  try {
    running = await start({ config: loaded.config, log });
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error;
    refuse(name, [error.message]);
  }
}

function refuse(name: string, faults: readonly string[]): never {
  process.stderr.write(`${name}: the configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  ${fault}\n`).join('')}`);
  process.exit(EXIT_CONFIG);
}

// npm passes SIGTERM and SIGINT on, but when npm itself is killed nobody could stop its child any more.
function stopWithNpm(stop: (reason: string) => void): void {
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) stop('parent ended');
  }, PARENT_CHECK_MS).unref();
}

function exitOnUnknownFailure(log: Logger): void {
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(1);
  });
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'unhandled rejection');
    process.exit(1);
  });
}
