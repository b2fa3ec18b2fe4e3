// The process's side of the channel to its worker. Without a worker there is nobody to keep the lease: the process ends at once, with all it
// started, also when its handler blocks the event loop.
import { Worker } from 'node:worker_threads';
import type { StopReason } from '../engine/outcome.ts';
import { killGroup } from './kill-group.ts';
import { bodyOf, marked, type FromChild, type ToChild } from './messages.ts';

export type Task = Extract<ToChild, { type: 'run' }>;

export type ParentLink = {
  readonly task: Promise<Task>;
  /** Calls `listener` with every reason to stop, those that came before included. */
  onStop(listener: (reason: StopReason) => void): void;
  /** Settles when the message is on its way, whatever becomes of it. */
  send(message: FromChild): Promise<void>;
};

export function createParentLink(): ParentLink {
  const task = Promise.withResolvers<Task>();
  const reasons: StopReason[] = [];
  const listeners: ((reason: StopReason) => void)[] = [];
  process.on('disconnect', endAtOnce);
  if (!process.connected) endAtOnce();
  process.on('message', (message) => {
    const body = bodyOf<ToChild>(message);
    if (body?.type === 'run') task.resolve(body);
    if (body?.type !== 'stop') return;
    reasons.push(body.reason);
    for (const listener of listeners) listener(body.reason);
  });
  watchParent();
  return {
    task: task.promise,
    onStop: (listener) => {
      listeners.push(listener);
      for (const reason of reasons) listener(reason);
    },
    send: (message) =>
      new Promise((resolve) => {
        if (!process.connected || process.send === undefined) {
          resolve();
          return;
        }
        process.send(marked(message), undefined, undefined, () => {
          resolve();
        });
      }),
  };
}

function endAtOnce(): never {
  killGroup(process.pid);
  // Started by hand, it leads no group.
  process.exit(1);
}

// A blocked event loop hears of nothing; another thread does.
function watchParent(): void {
  const watch = new Worker(new URL('parent-watch-main.ts', import.meta.url), { workerData: { parentPid: process.ppid } });
  watch.on('error', () => undefined);
  watch.unref();
}
