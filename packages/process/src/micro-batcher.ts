// Write combining: calls from concurrent work are gathered while earlier batches are on their way and sent as one.
// With nothing on its way a call leaves at the end of the current turn of the event loop, so an idle system pays no wait.
// Beside others on their way a small batch may be told to wait a little: what it costs does not depend much on its size.

export type MicroBatcher<Item, Result> = {
  /** Adds an item; settles with its own result. @throws Error when more items wait, or heavier ones, than may. */
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
  /** While others are on their way, a batch waits until it has so many items or is as heavy as may be, or for so long. Default: it leaves at once. */
  beside?: { itemsMin: number; waitMsMax: number };
  /** Items that may wait. */
  pendingMax: number;
  /** What an item adds to the size of its batch, asked once. Default: nothing. */
  weigh?(item: Item): number;
  /** No batch gets heavier than this by a second item; a heavier item goes alone. */
  weightMax?: number;
  /** What all items that wait may weigh together; one alone may always wait. */
  pendingWeightMax?: number;
  /**
   * When this says so of a batch's error, its halves are sent again, one after the other and down to single items, so that one bad item spoils
   * nothing for the others and no more is on its way than before.
   */
  isItemFault?(error: unknown): boolean;
};

type Waiting<Item, Result> = { item: Item; weight: number; resolve(result: Result): void; reject(error: unknown): void };

export function createMicroBatcher<Item, Result>(options: MicroBatcherOptions<Item, Result>): MicroBatcher<Item, Result> {
  const { weightMax = Infinity, pendingWeightMax = Infinity, beside = { itemsMin: 1, waitMsMax: 0 } } = options;
  const pending: Waiting<Item, Result>[] = [];
  let pendingWeight = 0;
  let inFlight = 0;
  let scheduled = false;
  /** Runs while a batch waits because others are on their way. */
  let patience: NodeJS.Timeout | undefined;
  let drained: (() => void)[] = [];

  const schedule = () => {
    if (scheduled || inFlight >= options.inFlightMax || pending.length === 0) return;
    if (inFlight > 0 && pending.length < beside.itemsMin && pendingWeight < weightMax) {
      patience ??= setTimeout(leave, beside.waitMsMax);
      return;
    }
    scheduled = true;
    setImmediate(leave);
  };

  const leave = () => {
    scheduled = false;
    clearTimeout(patience);
    patience = undefined;
    pump();
  };

  const pump = () => {
    while (pending.length > 0 && inFlight < options.inFlightMax) {
      const batch = pending.splice(0, batchLength(pending, { lengthMax: options.batchMax, weightMax }));
      pendingWeight -= batch.reduce((sum, { weight }) => sum + weight, 0);
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
        const weight = options.weigh?.(item) ?? 0;
        const tooMany = pending.length >= options.pendingMax;
        if (tooMany || (pending.length > 0 && pendingWeight + weight > pendingWeightMax)) {
          reject(new Error(tooMany ? `more than ${options.pendingMax} items wait to be sent` : 'too heavy items wait to be sent'));
          return;
        }
        pendingWeight += weight;
        pending.push({ item, weight, resolve, reject });
        schedule();
      }),
    drain: () =>
      new Promise((resolve) => {
        if (pending.length === 0 && inFlight === 0) resolve();
        else drained.push(resolve);
      }),
  };
}

function batchLength(pending: readonly { weight: number }[], { lengthMax, weightMax }: { lengthMax: number; weightMax: number }): number {
  const most = Math.min(pending.length, lengthMax);
  let weight = pending[0]?.weight ?? 0;
  for (let length = 1; length < most; length += 1) {
    weight += pending[length]?.weight ?? 0;
    if (weight > weightMax) return length;
  }
  return most;
}

async function deliver<Item, Result>(options: MicroBatcherOptions<Item, Result>, batch: readonly Waiting<Item, Result>[]): Promise<void> {
  try {
    const results = await options.send(batch.map((waiting) => waiting.item));
    batch.forEach((waiting, index) => {
      waiting.resolve(results[index] as Result);
    });
  } catch (error) {
    if (batch.length > 1 && options.isItemFault?.(error) === true) {
      const middle = Math.ceil(batch.length / 2);
      await deliver(options, batch.slice(0, middle));
      await deliver(options, batch.slice(middle));
      return;
    }
    for (const waiting of batch) waiting.reject(error);
  }
}
