import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createMicroBatcher, type MicroBatcherOptions } from './micro-batcher.ts';

const turn = () =>
  new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
const LIMITS = { batchMax: 10, inFlightMax: 1, pendingMax: 100 };

/** A batcher whose batches stay on their way until they are answered. */
function held(options: Partial<MicroBatcherOptions<number, number>> = {}) {
  const batches: { items: readonly number[]; answer(results?: number[]): void; fail(error: unknown): void }[] = [];
  const batcher = createMicroBatcher<number, number>({
    ...LIMITS,
    send: (items) =>
      new Promise((resolve, reject) => {
        batches.push({
          items,
          answer: (results = items.map((item) => item * 2)) => {
            resolve(results);
          },
          fail: reject,
        });
      }),
    ...options,
  });
  return { batches, batcher };
}

describe('a micro-batcher', () => {
  it('sends what was added in one turn as one batch and gives each its own result', async () => {
    const { batches, batcher } = held();
    const results = [1, 2, 3].map((item) => batcher.add(item));
    expect(batches).toHaveLength(0);
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1, 2, 3]]);
    batches[0]?.answer();
    expect(await Promise.all(results)).toEqual([2, 4, 6]);
  });

  it('gathers while a batch is on its way, in order and no more than the limit at once', async () => {
    const { batches, batcher } = held({ batchMax: 3 });
    const results = Array.from({ length: 8 }, (_, item) => batcher.add(item));
    for (let sent = 1; sent <= 3; sent += 1) {
      await turn();
      expect(batches).toHaveLength(sent);
      batches[sent - 1]?.answer();
      await turn();
    }
    expect(batches.map((batch) => batch.items)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7],
    ]);
    expect(await Promise.all(results)).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
  });

  it('has no more batches on their way than allowed', async () => {
    const { batches, batcher } = held({ batchMax: 1, inFlightMax: 2 });
    const results = [1, 2, 3].map((item) => batcher.add(item));
    await turn();
    expect(batches).toHaveLength(2);
    batches[1]?.answer();
    expect(await results[1]).toBe(4);
    await turn();
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1], [2], [3]]);
    batches[0]?.answer();
    batches[2]?.answer();
    expect(await Promise.all(results)).toEqual([2, 4, 6]);
  });

  it('answers every item with its own result under any load and any order of answers', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { maxLength: 200 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 4 }),
        async (turns, batchMax, inFlightMax) => {
          let inFlight = 0;
          const send = async (items: readonly number[]) => {
            inFlight += 1;
            expect(inFlight).toBeLessThanOrEqual(inFlightMax);
            expect(items.length).toBeLessThanOrEqual(batchMax);
            for (let count = turns[items[0] ?? 0] ?? 0; count > 0; count -= 1) await turn();
            inFlight -= 1;
            return items.map((item) => item * 2);
          };
          const batcher = createMicroBatcher<number, number>({ send, batchMax, inFlightMax, pendingMax: 1_000 });
          const results = await Promise.all(turns.map((_, item) => batcher.add(item)));
          expect(results).toEqual(turns.map((_, item) => item * 2));
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('a batch that fails', () => {
  const fault = new Error('bad item');
  const sendUnlessBad = (items: readonly number[]) =>
    items.includes(13) ? Promise.reject(fault) : Promise.resolve(items.map((item) => item * 2));

  it('fails all of its items, and none of the next', async () => {
    const batcher = createMicroBatcher<number, number>({ ...LIMITS, batchMax: 2, send: sendUnlessBad });
    const settled = await Promise.allSettled([1, 13, 3, 4].map((item) => batcher.add(item)));
    expect(settled.map((one) => one.status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
  });

  it('is sent again in parts when an item is at fault, so that only that one fails', async () => {
    const batcher = createMicroBatcher<number, number>({ ...LIMITS, send: sendUnlessBad, isItemFault: (error) => error === fault });
    const settled = await Promise.allSettled([1, 13, 3].map((item) => batcher.add(item)));
    expect(settled).toEqual([
      { status: 'fulfilled', value: 2 },
      { status: 'rejected', reason: fault },
      { status: 'fulfilled', value: 6 },
    ]);
  });

  it('is sent again without more on its way than before, in few parts, and in order', async () => {
    let [inFlight, most] = [0, 0];
    const sizes: number[] = [];
    const sent: number[] = [];
    const send = async (items: readonly number[]) => {
      most = Math.max(most, (inFlight += 1));
      sizes.push(items.length);
      await turn();
      inFlight -= 1;
      if (items.includes(13)) throw fault;
      sent.push(...items);
      return items;
    };
    const batcher = createMicroBatcher<number, number>({ batchMax: 64, inFlightMax: 1, pendingMax: 100, send, isItemFault: () => true });
    const settled = await Promise.allSettled(Array.from({ length: 64 }, (_, item) => batcher.add(item)));
    expect(settled.flatMap((one, item) => (one.status === 'rejected' ? [item] : []))).toEqual([13]);
    expect([most, sizes.length]).toEqual([1, 13]);
    expect(sent).toEqual(Array.from({ length: 64 }, (_, item) => item).filter((item) => item !== 13));
  });

  it("is not sent again when the fault is not an item's", async () => {
    let sent = 0;
    const send = () => {
      sent += 1;
      throw fault;
    };
    const batcher = createMicroBatcher<number, number>({ ...LIMITS, send, isItemFault: () => false });
    await Promise.allSettled([1, 2].map((item) => batcher.add(item)));
    expect(sent).toBe(1);
    await expect(batcher.add(3)).rejects.toBe(fault);
  });
});

describe('the weight of a batch', () => {
  it('ends it before the item that would be too much, and lets a heavier one go alone', async () => {
    const { batches, batcher } = held({ weigh: (item) => item, weightMax: 10, inFlightMax: 9 });
    const results = [4, 6, 1, 25, 3, 3].map((item) => batcher.add(item));
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[4, 6], [1], [25], [3, 3]]);
    for (const batch of batches) batch.answer();
    expect(await Promise.all(results)).toEqual([8, 12, 2, 50, 6, 6]);
  });

  it('limits what waits, and frees it again', async () => {
    const { batches, batcher } = held({ weigh: (item) => item, weightMax: 10, pendingWeightMax: 12 });
    const results = [batcher.add(20)];
    await expect(batcher.add(8)).rejects.toThrow('items wait');
    await turn();
    results.push(batcher.add(8), batcher.add(4));
    await expect(batcher.add(1)).rejects.toThrow('items wait');
    batches[0]?.answer();
    await turn();
    await turn();
    batches[1]?.answer();
    await turn();
    await turn();
    batches[2]?.answer();
    expect(await Promise.all(results)).toEqual([40, 16, 8]);
  });
});

describe('the limit of waiting items', () => {
  it('refuses what is beyond it, and only that', async () => {
    const { batches, batcher } = held({ pendingMax: 2 });
    const results = [1, 2].map((item) => batcher.add(item));
    await expect(batcher.add(3)).rejects.toThrow('more than 2 items wait');
    await turn();
    results.push(batcher.add(4));
    batches[0]?.answer();
    await turn();
    await turn();
    batches[1]?.answer();
    expect(await Promise.all(results)).toEqual([2, 4, 8]);
  });
});

describe('a batch beside others on their way', () => {
  const beside = { itemsMin: 3, waitMsMax: 60_000 };

  it('leaves when it has enough items', async () => {
    const { batches, batcher } = held({ inFlightMax: 2, beside });
    const results = [batcher.add(1)];
    await turn();
    results.push(batcher.add(2), batcher.add(3));
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1]]);
    results.push(batcher.add(4));
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1], [2, 3, 4]]);
    for (const batch of batches) batch.answer();
    expect(await Promise.all(results)).toEqual([2, 4, 6, 8]);
  });

  it('leaves when it can get no heavier', async () => {
    const { batches, batcher } = held({ inFlightMax: 2, beside, weigh: (item) => item, weightMax: 10 });
    const results = [batcher.add(1)];
    await turn();
    results.push(batcher.add(4));
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1]]);
    results.push(batcher.add(6));
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1], [4, 6]]);
    for (const batch of batches) batch.answer();
    expect(await Promise.all(results)).toEqual([2, 8, 12]);
  });

  it('leaves when nothing is on its way any more', async () => {
    const { batches, batcher } = held({ inFlightMax: 2, beside });
    const results = [batcher.add(1)];
    await turn();
    results.push(batcher.add(2));
    await turn();
    batches[0]?.answer();
    await results[0];
    await turn();
    await turn();
    expect(batches.map((batch) => batch.items)).toEqual([[1], [2]]);
    batches[1]?.answer();
    expect(await Promise.all(results)).toEqual([2, 4]);
  });

  it('leaves after its wait, however few items it has', async () => {
    const answers = Promise.withResolvers<undefined>();
    const send = async (items: readonly number[]) => {
      if (items.includes(2)) answers.resolve(undefined);
      await answers.promise;
      return items;
    };
    const batcher = createMicroBatcher({ ...LIMITS, inFlightMax: 2, beside: { itemsMin: 3, waitMsMax: 1 }, send });
    const first = batcher.add(1);
    await turn();
    expect(await Promise.all([first, batcher.add(2)])).toEqual([1, 2]);
  });
});

describe('drain', () => {
  it('settles at once when nothing is waiting', async () => {
    await expect(held().batcher.drain()).resolves.toBeUndefined();
  });

  it('waits for everything that was added before, failures included', async () => {
    const { batches, batcher } = held({ batchMax: 1 });
    const results = Promise.allSettled([batcher.add(1), batcher.add(2)]);
    let drained = false;
    const draining = batcher.drain().then(() => {
      drained = true;
    });
    await turn();
    batches[0]?.answer();
    await turn();
    await turn();
    expect(drained).toBe(false);
    batches[1]?.fail(new Error('no'));
    await draining;
    expect((await results).map((one) => one.status)).toEqual(['fulfilled', 'rejected']);
  });
});
