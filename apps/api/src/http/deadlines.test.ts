import { describe, expect, it } from '@jest/globals';
import { createDeadlines } from './deadlines.ts';

const passed = (timeoutMs: number, count: number) =>
  new Promise<string[]>((resolve) => {
    const deadlines = createDeadlines(timeoutMs);
    const expired: string[] = [];
    const expire = (name: string) => () => {
      if (expired.push(name) === count) resolve(expired);
    };
    const removed = {};
    deadlines.add({}, expire('first'));
    deadlines.add(removed, expire('removed'));
    deadlines.add({}, expire('second'));
    deadlines.remove(removed);
    setTimeout(() => {
      deadlines.add({}, expire('later'));
    }, timeoutMs / 2);
  });

describe('deadlines', () => {
  it('pass for each that was not removed, the oldest first', async () => {
    // The timer does not keep the process alive.
    const keepAlive = setInterval(() => undefined, 1_000);
    expect(await passed(20, 3)).toEqual(['first', 'second', 'later']);
    clearInterval(keepAlive);
  });

  it('may be removed twice, or without having been added', () => {
    const deadlines = createDeadlines(10_000);
    const owner = {};
    deadlines.remove(owner);
    deadlines.add(owner, () => undefined);
    deadlines.remove(owner);
    deadlines.remove(owner);
  });
});
