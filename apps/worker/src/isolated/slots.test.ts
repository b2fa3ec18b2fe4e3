import { describe, expect, it } from '@jest/globals';
import { createSlots } from './slots.ts';

const never = new Promise<never>(() => undefined);
const wait = { timeoutMs: 60_000, until: never };

describe('slots', () => {
  it('are given out at once while there are any, and then in order', async () => {
    const slots = createSlots(1);
    const leave = await slots.take(wait);
    const served: string[] = [];
    const [second, third] = ['second', 'third'].map(async (name) => {
      const give = await slots.take(wait);
      served.push(name);
      return give;
    });
    expect([slots.takenCount(), served]).toEqual([1, []]);
    leave?.();
    (await second)?.();
    (await third)?.();
    expect([slots.takenCount(), served]).toEqual([0, ['second', 'third']]);
  });

  it('are not waited for beyond the time, nor when the waiting was called off', async () => {
    const slots = createSlots(1);
    const leave = await slots.take(wait);
    expect(await slots.take({ timeoutMs: 1, until: never })).toBeNull();
    expect(await slots.take({ timeoutMs: 60_000, until: Promise.resolve() })).toBeNull();
    leave?.();
    expect(slots.takenCount()).toBe(0);
  });

  it('are given back once', async () => {
    const slots = createSlots(2);
    const [leave] = [await slots.take(wait), await slots.take(wait)];
    leave?.();
    leave?.();
    expect(slots.takenCount()).toBe(1);
  });
});
