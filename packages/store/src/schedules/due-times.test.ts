// Which times have come, and where a schedule goes on.
import { describe, expect, it } from '@jest/globals';
import { dueTimes } from './due-times.ts';

const at = (text: string) => new Date(`2027-01-01T${text}Z`);
const every = { cron: '*/10 * * * *', timezone: 'UTC' };
const find = (next: Date | null, now: Date, limits: { handledAt?: Date; max?: number } = {}) => {
  const found = dueTimes({ ...every, next_at: next }, now, { handledAt: limits.handledAt ?? null, max: limits.max ?? 100 });
  return { times: found.dueMs.map((ms) => new Date(ms).toISOString().slice(11, 16)), next: found.nextAt, isCut: found.isCut };
};

describe('dueTimes', () => {
  it('finds none before the next time, and that one at it', () => {
    expect(find(at('10:00:00'), at('09:59:59.999'))).toEqual({ times: [], next: at('10:00:00'), isCut: false });
    expect(find(at('10:00:00'), at('10:00:00'))).toEqual({ times: ['10:00'], next: at('10:10:00'), isCut: false });
  });

  it('finds every time that came since', () => {
    expect(find(at('10:00:00'), at('10:25:00'))).toEqual({ times: ['10:00', '10:10', '10:20'], next: at('10:30:00'), isCut: false });
  });

  it('stops at the limit and says so', () => {
    expect(find(at('10:00:00'), at('10:25:00'), { max: 2 })).toEqual({ times: ['10:00', '10:10'], next: at('10:20:00'), isCut: true });
  });

  it('finds nothing of a schedule that has no next time', () => {
    expect(find(null, at('10:00:00'))).toEqual({ times: [], next: null, isCut: false });
  });

  it('leaves out what was dealt with, should the next time have been set back', () => {
    expect(find(at('10:00:00'), at('10:25:00'), { handledAt: at('10:10:00') })).toEqual({
      times: ['10:20'],
      next: at('10:30:00'),
      isCut: false,
    });
    expect(find(at('10:00:00'), at('10:05:00'), { handledAt: at('10:10:00') })).toEqual({ times: [], next: at('10:20:00'), isCut: false });
  });
});
