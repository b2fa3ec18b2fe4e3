// Turns Ctrl-C, SIGTERM, a closed terminal and the loss of the process that started us into one orderly stop, and a second of them into an immediate end.
import { exitCodes, StackFault } from '../stack/stack-fault.ts';

export type Interruption = {
  /** Aborted by the first request to stop, with a StackFault `interrupted` as its reason. */
  signal: AbortSignal;
  /** What to do at the second request, before the process ends at once. */
  onKillable(kill: () => void): void;
};

/** Installs the handlers on `process`; call it once, from main.ts. */
export function watchForInterruption(target: NodeJS.Process): Interruption {
  const controller = new AbortController();
  const kills: (() => void)[] = [];
  const endAtOnce = (exitCode: number): void => {
    for (const kill of kills) kill();
    target.exit(exitCode);
  };
  const request = (): void => {
    if (controller.signal.aborted) endAtOnce(exitCodes.interrupted);
    controller.abort(new StackFault('interrupted', 'Interrupted. Everything that was started is stopped.'));
  };
  // A fault in a timer or a listener of ours must not leave children behind that nobody looks after.
  target.once('uncaughtException', (error) => {
    target.stderr.write(`millrace: ${error.stack ?? error.message}\n`);
    endAtOnce(exitCodes.failed);
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) target.on(name, request);
  // The bootstrap holds the other end of this channel; it closes when that process is killed. Losing it asks once, it never counts as the second time.
  target.once('disconnect', () => void (controller.signal.aborted || request()));
  target.channel?.unref();
  return { signal: controller.signal, onKillable: (kill) => void kills.push(kill) };
}

/** Resolves when a stop was requested. */
export function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // An AbortSignal alone does not keep the process alive.
    const keepAlive = setInterval(() => undefined, 60_000);
    const end = (): void => {
      clearInterval(keepAlive);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
