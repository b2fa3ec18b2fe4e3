// The worker's side of one process for one attempt: forks it on the same Node with the same flags, talks to it, tells how it ended, kills it.
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Logger } from '@millrace/process';
import type { Dispatch, QueueName } from '@millrace/shared';
import { killGroup } from './kill-group.ts';
import { bodyOf, marked, type Freed, type FromChild, type ToChild } from './messages.ts';
import { createProcessOutput } from './process-output.ts';

export type Report = Extract<FromChild, { type: 'ended' }>;

/** How a process ended that did not report. */
export type Death = {
  /** False: it could not be started at all. */
  wasBorn: boolean;
  /** Whether the handler was about to be called. */
  hasBegun: boolean;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** What it said itself before. */
  fault: string | undefined;
  outOfMemory: boolean;
};

export type PhaseProcess = {
  send(message: ToChild): void;
  /** Settles when the handler is about to be called; never when it does not come to that. */
  readonly started: Promise<void>;
  /** Settles with the report, or with the death of a process that sent none. */
  readonly end: Promise<Report | Death>;
  /** Settles when it is gone. */
  readonly gone: Promise<void>;
  /** Ends it and all it started, at once. */
  kill(): void;
};

export type PhaseProcessOptions = {
  /** What its heap may grow to; undefined: what Node allows itself. */
  memoryMb: number | undefined;
  log: Logger;
  /** What its commits leave to the worker to do. */
  worker: { dispatch(queue: QueueName, dispatches: readonly Dispatch[]): void; onFreed(freed: Freed): void };
};

const MAIN = fileURLToPath(new URL('child-main.ts', import.meta.url));
/** What it has sent may be read after it is gone. */
const LAST_WORDS_MS = 500;
/** A process that does not even end by SIGKILL hangs in the kernel; the attempt does not wait for it. */
const KILLED_WITHIN_MS = 2_000;
/** It ends by itself once it has reported; what keeps it is of no use to anybody. */
const EXIT_WITHIN_MS = 5_000;

/** @throws Error when the system refuses a process in one of the ways that Node does not report as its death. */
export function startPhaseProcess({ memoryMb, log, worker }: PhaseProcessOptions): PhaseProcess {
  const child = forkChild(memoryMb);
  const output = createProcessOutput(log);
  const started = Promise.withResolvers<void>();
  const end = Promise.withResolvers<Report | Death>();
  let fault: string | undefined;
  let isGone = false;
  let hasBegun = false;
  const die = (death: Pick<Death, 'wasBorn' | 'code' | 'signal'>) => {
    end.resolve({ ...death, hasBegun, fault, outOfMemory: output.saidOutOfMemory() });
  };
  // Its number may be another's once it is gone.
  const kill = () => {
    if (child.pid !== undefined && !isGone) killGroup(child.pid);
  };
  // Without any file handle left there are no streams at all, whatever the types say.
  for (const name of ['stdout', 'stderr'] as const) if (child[name]) output.read(name, child[name]);
  child.on('message', (message) => {
    const body = bodyOf<FromChild>(message);
    if (body?.type === 'started') {
      hasBegun = true;
      started.resolve();
    }
    if (body?.type === 'dispatch') worker.dispatch(body.queue, body.dispatches);
    if (body?.type === 'freed') worker.onFreed(body.freed);
    if (body?.type === 'fault') fault = body.message;
    if (body?.type !== 'ended') return;
    end.resolve(body);
    setTimeout(kill, EXIT_WITHIN_MS).unref();
  });
  const gone = departed(child).then((death) => {
    isGone = true;
    die(death);
  });
  return {
    started: started.promise,
    end: end.promise,
    gone,
    send: (message) => {
      // It may be gone already, which its end tells.
      if (child.connected) child.send(marked(message), () => undefined);
    },
    kill: () => {
      kill();
      setTimeout(() => {
        die({ wasBorn: true, code: null, signal: 'SIGKILL' });
      }, KILLED_WITHIN_MS).unref();
    },
  };
}

function forkChild(memoryMb: number | undefined): ChildProcess {
  // A debugger's port can be had once.
  const flags = process.execArgv.filter((flag) => !flag.startsWith('--inspect'));
  return fork(MAIN, [], {
    execArgv: [...flags, ...(memoryMb === undefined ? [] : [`--max-old-space-size=${memoryMb}`])],
    // Leads a group of its own, so that what it starts can be ended with it, and so that Ctrl-C in a terminal is the worker's to hear.
    detached: true,
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
}

/** Settles when the process is gone and all it sent was read, or when it could not be started. */
function departed(child: ChildProcess): Promise<Pick<Death, 'wasBorn' | 'code' | 'signal'>> {
  return new Promise((resolve) => {
    // Also emitted for a message that could not be sent; only a process that never was has no id.
    child.on('error', () => {
      if (child.pid === undefined) resolve({ wasBorn: false, code: null, signal: null });
    });
    child.once('exit', (code, signal) => {
      if (child.pid !== undefined) killGroup(child.pid);
      const settle = () => {
        clearTimeout(timer);
        // The last lines it printed come in the same turn at the latest.
        setImmediate(() => {
          resolve({ wasBorn: true, code, signal });
        });
      };
      const timer = setTimeout(settle, LAST_WORDS_MS);
      if (child.connected) child.once('disconnect', settle);
      else settle();
    });
  });
}
