import { describe, expect, it } from '@jest/globals';
import { createDeadlines } from './deadlines.ts';

const passed = (timeoutMs: number, count: number) =>
  new Promise<string[]>((resolve) => {
    const deadlines = createDeadlines(timeoutMs);
    const expired: string[] = [];
    const add = (name: string) =>
      deadlines.add(() => {
        if (expired.push(name) === count) resolve(expired);
      });
    const lifted = [add('first of all')];
    add('first');
    lifted.push(add('between'));
    add('second');
    lifted.push(add('last of all'));
    for (const deadline of [...lifted, ...lifted]) deadline.lift();
    setTimeout(() => {
      add('later');
    }, timeoutMs / 2);
  });

describe('deadlines', () => {
  it('pass for each that was not lifted, the oldest first', async () => {
    // Their timer does not keep the process alive.
    const keepAlive = setInterval(() => undefined, 1_000);
    expect(await passed(20, 3)).toEqual(['first', 'second', 'later']);
    clearInterval(keepAlive);
  });
});
