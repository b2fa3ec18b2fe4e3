// Write combining: calls from concurrent work are gathered while earlier batches are on their way and sent as one.
// With nothing on its way a call leaves at the end of the current turn of the event loop, so an idle system pays no wait.

export type MicroBatcher<Item, Result> = {
  /** Adds an item; settles with its own result. @throws Error when more than `pendingMax` items wait. */
  add(item: Item): Promise<Result>;
  /** Settles when everything added before has been sent and answered. */
  drain(): Promise<void>;
};

export type MicroBatcherOptions<Item, Result> = {
  /** Sends a batch; answers one result per item in order. When it throws, every item of the batch fails with that error. */
  send(items: readonly Item[]): Promise<readonly Result[]>;
  batchMax: number;
  /** Batches that may be on their way at once. */
  inFlightMax: number;
  /** Items that may wait. */
  pendingMax: number;
  /** When this says so of a batch's error, its items are sent again one by one, so that one bad item spoils nothing for the others. */
  isItemFault?(error: unknown): boolean;
};

type Waiting<Item, Result> = { item: Item; resolve(result: Result): void; reject(error: unknown): void };

export function createMicroBatcher<Item, Result>(options: MicroBatcherOptions<Item, Result>): MicroBatcher<Item, Result> {
  const pending: Waiting<Item, Result>[] = [];
  let inFlight = 0;
  let scheduled = false;
  let drained: (() => void)[] = [];

  const schedule = () => {
    if (scheduled || inFlight >= options.inFlightMax || pending.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      pump();
    });
  };

  const pump = () => {
    while (pending.length > 0 && inFlight < options.inFlightMax) {
      const batch = pending.splice(0, options.batchMax);
      inFlight += 1;
      void deliver(options, batch).finally(() => {
        inFlight -= 1;
        if (pending.length === 0 && inFlight === 0) {
          for (const resolve of drained) resolve();
          drained = [];
        }
        schedule();
      });
    }
  };

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        if (pending.length >= options.pendingMax) {
          reject(new Error(`more than ${options.pendingMax} items wait to be sent`));
          return;
        }
        pending.push({ item, resolve, reject });
        schedule();
      }),
    drain: () =>
      new Promise((resolve) => {
        if (pending.length === 0 && inFlight === 0) resolve();
        else drained.push(resolve);
      }),
  };
}

async function deliver<Item, Result>(options: MicroBatcherOptions<Item, Result>, batch: readonly Waiting<Item, Result>[]): Promise<void> {
  try {
    const results = await options.send(batch.map((waiting) => waiting.item));
    batch.forEach((waiting, index) => {
      waiting.resolve(results[index] as Result);
    });
  } catch (error) {
    if (batch.length > 1 && options.isItemFault?.(error) === true) {
      await Promise.all(batch.map((waiting) => deliver(options, [waiting])));
      return;
    }
    for (const waiting of batch) waiting.reject(error);
  }
}
