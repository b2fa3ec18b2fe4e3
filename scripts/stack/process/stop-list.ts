// What was started, in order, so that it can be stopped in reverse: all of it, once, whatever fails.

export type Stoppable = { stop(): Promise<void>; kill?(): void };

export type StopList = {
  add(item: Stoppable): void;
  /** Items of one group were started together and are stopped together. */
  addGroup(items: readonly Stoppable[]): void;
  /** Stops the latest group first. A failure does not keep the others from being stopped; the first one is thrown at the end. Idempotent. */
  stopAll(): Promise<void>;
  /** Ends everything at once, without waiting. */
  killAll(): void;
};

export function createStopList(): StopList {
  const groups: (readonly Stoppable[])[] = [];
  let stopping: Promise<void> | undefined;

  async function stopInReverse(): Promise<void> {
    const failures: unknown[] = [];
    for (const group of groups.toReversed()) {
      const results = await Promise.allSettled(group.map((item) => item.stop()));
      failures.push(...results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : [])));
    }
    if (failures.length > 0) throw failures[0];
  }

  return {
    add: (item) => void groups.push([item]),
    addGroup: (items) => void groups.push(items),
    stopAll: () => (stopping ??= stopInReverse()),
    killAll() {
      for (const item of groups.toReversed().flat()) item.kill?.();
    },
  };
}
