import { afterEach, describe, expect, it } from '@jest/globals';
import { createLogger } from './logger.ts';
import { createLoop, type Loop, type LoopOptions, type PassResult } from './loop.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const HOUR_MS = 3_600_000;
const loops: Loop[] = [];

afterEach(async () => {
  await Promise.all(loops.splice(0).map((loop) => loop.stop(1_000)));
});

/** A loop that tells when its n-th pass begins. `answers` are the passes' results; then it is idle. */
function loopOf(answers: (PassResult | Error)[], options: Partial<LoopOptions> = {}) {
  const passes: number[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const loop = createLoop({
    name: 'test',
    intervalMs: HOUR_MS,
    log,
    runOnce: () => {
      passes.push(performance.now());
      for (const waiter of waiting) if (waiter.count <= passes.length) waiter.resolve();
      const answer = answers.shift() ?? 'idle';
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    ...options,
  });
  loops.push(loop);
  const passed = (count: number) =>
    new Promise<void>((resolve) => {
      if (passes.length >= count) resolve();
      else waiting.push({ count, resolve });
    });
  return { loop, passes, passed };
}

describe('a loop', () => {
  it('does nothing before it is started, and starts once', async () => {
    const { loop, passes, passed } = loopOf([]);
    expect(passes).toHaveLength(0);
    await Promise.all([loop.start(), loop.start()]);
    await passed(1);
    expect(passes).toHaveLength(1);
  });

  it('runs again without a wait while a pass was cut short', async () => {
    const { loop, passed } = loopOf(['again', 'again', 'again', 'idle']);
    await loop.start();
    await expect(passed(4)).resolves.toBeUndefined();
  });

  it('waits for its interval when idle', async () => {
    const { loop, passes, passed } = loopOf([], { intervalMs: 30 });
    await loop.start();
    await passed(3);
    expect(gaps(passes).every((gapMs) => gapMs >= 28)).toBe(true);
  });

  it('waits as long as a pass asks for', async () => {
    const { loop, passes, passed } = loopOf([{ waitMs: 30 }]);
    await loop.start();
    await passed(2);
    expect(gaps(passes)[0]).toBeGreaterThanOrEqual(28);
  });

  it('runs at once when it is woken', async () => {
    const { loop, passed } = loopOf([]);
    await loop.start();
    await passed(1);
    loop.wake();
    await expect(passed(2)).resolves.toBeUndefined();
  });

  it('remembers being woken within a pass', async () => {
    let count = 0;
    const second = Promise.withResolvers<void>();
    const loop = createLoop({
      name: 'test',
      intervalMs: HOUR_MS,
      log,
      runOnce: () => {
        count += 1;
        if (count === 1) loop.wake();
        else second.resolve();
        return Promise.resolve('idle');
      },
    });
    loops.push(loop);
    await loop.start();
    await expect(second.promise).resolves.toBeUndefined();
  });

  it('tells of every pass how it ended', async () => {
    const ends: boolean[] = [];
    const { loop, passed } = loopOf(['again', new Error('no'), 'again', 'idle'], {
      intervalMs: 1,
      onPass: (pass) => {
        ends.push(pass.failed);
      },
    });
    await loop.start();
    await passed(4);
    expect(ends.slice(0, 3)).toEqual([false, true, false]);
  });
});

describe('a loop whose passes fail', () => {
  it('goes on, waiting twice as long after each failure, and quickly again after a success', async () => {
    const failure = new Error('no');
    const { loop, passes, passed } = loopOf([failure, failure, failure, 'idle', 'idle'], { intervalMs: 10 });
    await loop.start();
    await passed(5);
    const [first, second, third, afterSuccess] = gaps(passes);
    expect(first).toBeGreaterThanOrEqual(18);
    expect(second).toBeGreaterThanOrEqual(38);
    expect(third).toBeGreaterThanOrEqual(78);
    expect(afterSuccess).toBeLessThan(150);
  });

  it('can be woken out of that wait', async () => {
    const { loop, passed } = loopOf([new Error('no')], { intervalMs: HOUR_MS });
    await loop.start();
    await passed(1);
    loop.wake();
    await expect(passed(2)).resolves.toBeUndefined();
  });
});

describe('stop', () => {
  it('ends the wait and starts no pass more', async () => {
    const { loop, passes, passed } = loopOf([]);
    await loop.start();
    await passed(1);
    await loop.stop(1_000);
    loop.wake();
    await loop.start();
    expect(passes).toHaveLength(1);
  });

  it('tells the pass by its signal and waits for it', async () => {
    const ended: string[] = [];
    const began = Promise.withResolvers<void>();
    const { loop } = loopOf([], {
      runOnce: (signal) =>
        new Promise((resolve) => {
          began.resolve();
          signal.addEventListener('abort', () => {
            ended.push('pass');
            resolve('again');
          });
        }),
    });
    await loop.start();
    await began.promise;
    await loop.stop(1_000);
    ended.push('stop');
    expect(ended).toEqual(['pass', 'stop']);
  });

  it('does not wait for a deaf pass beyond its deadline', async () => {
    const { loop } = loopOf([], { runOnce: () => new Promise(() => undefined) });
    loops.pop();
    await loop.start();
    await expect(loop.stop(20)).rejects.toThrow('timed out after 20 ms');
  });

  it('is allowed before the start, and twice', async () => {
    const { loop, passes } = loopOf([]);
    await loop.stop(10);
    await loop.stop(10);
    await loop.start();
    expect(passes).toHaveLength(0);
  });
});

function gaps(instants: readonly number[]): number[] {
  return instants.slice(1).map((at, index) => at - (instants[index] ?? 0));
}
