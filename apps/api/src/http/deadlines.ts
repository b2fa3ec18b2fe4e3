// One timer for the deadlines of all requests: they are equally long, so the oldest request is always the next to be due.

export type Deadlines = {
  /** `expire` is called when the time has passed, unless the owner is removed before. */
  add(owner: object, expire: () => void): void;
  remove(owner: object): void;
};

type Waiting = { dueAt: number; expire: () => void };

export function createDeadlines(timeoutMs: number): Deadlines {
  const waiting = new Map<object, Waiting>();
  let timer: NodeJS.Timeout | undefined;

  const expireDue = () => {
    timer = undefined;
    const now = performance.now();
    for (const [owner, { dueAt, expire }] of waiting) {
      if (dueAt > now) {
        timer = timerFor(expireDue, dueAt - now);
        return;
      }
      waiting.delete(owner);
      expire();
    }
  };
  return {
    add: (owner, expire) => {
      waiting.set(owner, { dueAt: performance.now() + timeoutMs, expire });
      timer ??= timerFor(expireDue, timeoutMs);
    },
    remove: (owner) => {
      waiting.delete(owner);
    },
  };
}

// The connections keep the process alive, not the timer, which may be left with nothing to do.
function timerFor(run: () => void, ms: number): NodeJS.Timeout {
  return setTimeout(run, Math.ceil(ms)).unref();
}
