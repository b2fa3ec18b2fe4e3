// One timer for the deadlines of all requests: they are equally long, so the oldest request is always the next to be due.
// A list whose members forget their neighbours when they leave. A Map would leave tables behind that keep each other, and through them
// the requests of long ago, until the next full collection.

export type Deadlines = {
  /** `expire` is called when the time has passed, unless the deadline is lifted before. */
  add(expire: () => void): Deadline;
};

export type Deadline = {
  /** May be called again, and after it has passed. */
  lift(): void;
};

type Member = { dueAt: number; expire: () => void; before: Member | undefined; after: Member | undefined };

export function createDeadlines(timeoutMs: number): Deadlines {
  const head: Member = { dueAt: 0, expire: () => undefined, before: undefined, after: undefined };
  let last = head;
  let timer: NodeJS.Timeout | undefined;

  const leave = (member: Member) => {
    const { before, after } = member;
    if (before === undefined) return;
    before.after = after;
    if (after === undefined) last = before;
    else after.before = before;
    member.before = undefined;
    member.after = undefined;
  };
  const expireDue = () => {
    timer = undefined;
    const now = performance.now();
    for (let member = head.after; member !== undefined; member = head.after) {
      if (member.dueAt > now) {
        timer = timerFor(expireDue, member.dueAt - now);
        return;
      }
      leave(member);
      member.expire();
    }
  };
  return {
    add: (expire) => {
      const member: Member = { dueAt: performance.now() + timeoutMs, expire, before: last, after: undefined };
      last.after = member;
      last = member;
      timer ??= timerFor(expireDue, timeoutMs);
      return {
        lift: () => {
          leave(member);
        },
      };
    },
  };
}

// The connections keep the process alive, not the timer, which may be left with nothing to do.
function timerFor(run: () => void, ms: number): NodeJS.Timeout {
  return setTimeout(run, Math.ceil(ms)).unref();
}
