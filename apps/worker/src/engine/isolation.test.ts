import { describe, expect, it } from '@jest/globals';
import { systemClock } from '@millrace/process';
import { createIsolation } from './isolation.ts';

const entered = (isolation: ReturnType<typeof createIsolation>) => {
  const leave = isolation.enter();
  if (leave === null) throw new Error('kept out');
  return leave;
};

describe('isolation', () => {
  it('lets work in side by side until one runs alone, and again after it', async () => {
    const isolation = createIsolation({ clock: systemClock });
    const other = entered(isolation);
    const mine = entered(isolation);
    const gate = Promise.withResolvers<string>();
    const alone = isolation.runAlone(() => gate.promise);
    expect(isolation.enter()).toBeNull();
    other();
    gate.resolve('done');
    expect(await alone).toBe('done');
    mine();
    expect(isolation.enter()).not.toBeNull();
  });

  it('waits for what runs beside it', async () => {
    const isolation = createIsolation({ clock: systemClock });
    const other = entered(isolation);
    entered(isolation);
    let isCalled = false;
    const alone = isolation.runAlone(() => {
      isCalled = true;
      return Promise.resolve(1);
    });
    expect(isCalled).toBe(false);
    other();
    expect(await alone).toBe(1);
  });

  it('is busy when the others do not end, and lets others in again then', async () => {
    const times = [0, 0, 5_000];
    const isolation = createIsolation({ clock: { nowMs: () => 0, monotonicMs: () => times.shift() ?? 5_000 } });
    entered(isolation);
    entered(isolation);
    expect(await isolation.runAlone(() => Promise.resolve('never'))).toBe('busy');
    expect(isolation.enter()).not.toBeNull();
  });

  it('is busy while another runs alone', async () => {
    const isolation = createIsolation({ clock: systemClock });
    entered(isolation);
    const gate = Promise.withResolvers<string>();
    const first = isolation.runAlone(() => gate.promise);
    expect(await isolation.runAlone(() => Promise.resolve('never'))).toBe('busy');
    gate.resolve('first');
    expect(await first).toBe('first');
  });

  it('lets others in again when what ran alone failed', async () => {
    const isolation = createIsolation({ clock: systemClock });
    entered(isolation);
    await expect(isolation.runAlone(() => Promise.reject(new Error('x')))).rejects.toThrow('x');
    expect(isolation.enter()).not.toBeNull();
  });
});
