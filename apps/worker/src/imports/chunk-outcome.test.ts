import { describe, expect, it } from '@jest/globals';
import { AppError } from '@millrace/shared';
import { ATTEMPTS_MAX, decideAfter } from './chunk-outcome.ts';

const past = { ordinal: 4, attempts: 0, interruptions: 0 };
const running = { stopped: undefined, random: 0 };
const deadlock = Object.assign(new Error('deadlock detected'), { code: '40P01' });

describe('what an error while loading a chunk means', () => {
  it('leaves a chunk to its new owner when the lease is lost, whatever was thrown', () => {
    expect(decideAfter(deadlock, past, { stopped: 'lease-lost', random: 0 })).toEqual({ kind: 'abandon' });
  });

  it('costs nothing when the process stops', () => {
    expect(decideAfter(new Error('stopped'), past, { stopped: 'shutdown', random: 0 })).toEqual({ kind: 'interrupt', delayMs: 0 });
  });

  it('costs nothing when PostgreSQL is away or two transactions collide, and waits longer each time', () => {
    const delays = [0, 1, 2, 10].map((interruptions) => decideAfter(deadlock, { ...past, interruptions }, running));
    expect(delays).toEqual([200, 400, 800, 5_000].map((delayMs) => ({ kind: 'interrupt', delayMs })));
    expect(decideAfter(new AppError('dependency-unavailable'), past, running)).toMatchObject({ kind: 'interrupt' });
  });

  it('counts collisions that never end as failures', () => {
    expect(decideAfter(deadlock, { ...past, interruptions: 50 }, running)).toMatchObject({ kind: 'retry' });
  });

  it('tries again after a fault of ours, then fails the import with a message that names the chunk', () => {
    const fault = new TypeError('x is not a function');
    expect(decideAfter(fault, past, running)).toEqual({
      kind: 'retry',
      delayMs: 1_000,
      message: 'Chunk 5 could not be loaded: x is not a function',
    });
    expect(decideAfter(fault, { ...past, attempts: ATTEMPTS_MAX - 1 }, running)).toEqual({
      kind: 'fail',
      message: 'Chunk 5 could not be loaded: x is not a function',
    });
  });

  it('keeps what is thrown storable and short', () => {
    const decision = decideAfter(`a\0b${'\ud800'}${'c'.repeat(1_000)}`, past, running);
    expect(decision).toMatchObject({ message: expect.stringMatching(/^Chunk 5 could not be loaded: ab\ufffdc+$/) });
    expect((decision as { message: string }).message.length).toBeLessThan(600);
  });
});
