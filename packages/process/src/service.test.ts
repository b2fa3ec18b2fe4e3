import { describe, expect, it } from '@jest/globals';
import { createLogger } from './logger.ts';
import { startAll, stopAll, withTimeout, type Service } from './service.ts';

const log = createLogger({ name: 'test', level: 'silent' });

/** Services that write down what was asked of them. */
function services(names: readonly string[], faults: Record<string, 'start' | 'stop' | 'hang'> = {}) {
  const calls: string[] = [];
  const all = names.map((name): Service => ({
    name,
    start: () => {
      calls.push(`start ${name}`);
      return faults[name] === 'start' ? Promise.reject(new Error('no')) : Promise.resolve();
    },
    stop: () => {
      calls.push(`stop ${name}`);
      if (faults[name] === 'hang') return new Promise(() => undefined);
      return faults[name] === 'stop' ? Promise.reject(new Error('no')) : Promise.resolve();
    },
  }));
  return { all, calls };
}

describe('startAll', () => {
  it('starts in order, each after the one before has started', async () => {
    const { all, calls } = services(['a', 'b', 'c']);
    await startAll(all);
    expect(calls).toEqual(['start a', 'start b', 'start c']);
  });

  it('stops in reverse what has started when one does not start, and names that one', async () => {
    const { all, calls } = services(['a', 'b', 'c', 'd'], { c: 'start', a: 'stop' });
    await expect(startAll(all)).rejects.toMatchObject({ message: 'service c did not start', cause: { message: 'no' } });
    expect(calls).toEqual(['start a', 'start b', 'start c', 'stop b', 'stop a']);
  });
});

describe('stopAll', () => {
  it('stops in reverse order, whichever fail', async () => {
    const { all, calls } = services(['a', 'b', 'c'], { b: 'stop' });
    await stopAll(all, { deadlineMs: 1_000, log });
    expect(calls).toEqual(['stop c', 'stop b', 'stop a']);
  });

  it('goes on when a service throws instead of rejecting', async () => {
    const { all, calls } = services(['a', 'b']);
    const rude: Service = {
      name: 'rude',
      start: () => Promise.resolve(),
      stop: () => {
        throw new Error('no');
      },
    };
    await stopAll([...all, rude], { deadlineMs: 1_000, log });
    expect(calls).toEqual(['stop b', 'stop a']);
  });

  it('does not let one that hangs keep the rest from stopping', async () => {
    const { all, calls } = services(['a', 'b'], { b: 'hang' });
    await stopAll(all, { deadlineMs: 1, log });
    expect(calls).toEqual(['stop b', 'stop a']);
  });
});

describe('withTimeout', () => {
  it('answers what the promise answers in time', async () => {
    await expect(withTimeout(Promise.resolve(1), 1_000)).resolves.toBe(1);
    await expect(withTimeout(Promise.reject(new Error('own')), 1_000)).rejects.toThrow('own');
  });

  it('rejects when the time is over, and swallows the late failure', async () => {
    const late = Promise.withResolvers<never>();
    await expect(withTimeout(late.promise, 5)).rejects.toThrow('timed out after 5 ms');
    late.reject(new Error('late'));
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  });
});
