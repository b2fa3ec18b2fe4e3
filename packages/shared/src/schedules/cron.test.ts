// Cron expressions: what is refused, when they come due, and what happens where the clock is put forward or back.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cronFault, nextRuns } from './cron.ts';

const BERLIN = 'Europe/Berlin';
const runs = (cron: string, timezone: string, after: string, count = 3) =>
  nextRuns({ cron, timezone }, new Date(after), count).map((at) => at.toISOString());

describe('cronFault', () => {
  it.each([
    '* * * * *',
    '*/5 * * * *',
    '0 9 * * MON-FRI',
    '0 0 1 JAN *',
    '0,30 8-17/2 * * 1,3',
    '  0 0\t* * 7 ',
    '0 0 L * *',
    '0 0 15W * *',
    '0 0 * * FRI#2',
    '0 0 29 2 *',
  ])('finds none in %j', (cron) => {
    expect(cronFault({ cron, timezone: BERLIN })).toBeNull();
  });

  it.each([
    ['', 'five fields'],
    ['* * * *', 'five fields'],
    ['* * * * * *', 'five fields'],
    ['@daily', 'five fields'],
    ['2027-01-01T00:00:00', 'five fields'],
    ['60 * * * *', 'field minute'],
    ['? * * * *', 'field minute'],
    ['*/0 * * * *', 'field minute'],
    ['5-1 * * * *', 'field minute'],
    ['1.5 * * * *', 'field minute'],
    ['* 24 * * *', 'field hour'],
    ['* * 0 * *', 'field day-of-month'],
    ['* * 32 * *', 'field day-of-month'],
    ['* * * 13 *', 'field month'],
    ['* * * * 8', 'field day-of-week'],
    ['* * * * +1', 'field day-of-week'],
    ['* * * * MONDAY', 'field day-of-week'],
    ['0 0 30 2 *', 'never'],
    ['0 0 31 2,4,6,9,11 *', 'never'],
    ['0 0 31W 2 *', 'never'],
  ])('finds one in %j', (cron, message) => {
    expect(cronFault({ cron, timezone: 'UTC' })).toEqual({ field: 'cron', message: expect.stringContaining(message) });
  });

  it.each(['', ' ', 'Mars/Base', '+02:00', 'Europe/Berlin ', 'UTC+2', '../etc/passwd'])('does not take %j for a time zone', (timezone) => {
    expect(cronFault({ cron: '* * * * *', timezone })).toEqual({ field: 'timezone', message: expect.stringContaining('IANA') });
  });

  it('looks no further at what is too long', () => {
    expect(cronFault({ cron: `${'0,'.repeat(200)}0 * * * *`, timezone: 'UTC' })).toMatchObject({ field: 'cron' });
    expect(cronFault({ cron: '* * * * *', timezone: 'x'.repeat(5_000) })).toMatchObject({ field: 'timezone' });
  });

  it.each(['UTC', BERLIN, 'Etc/GMT+2', 'America/Argentina/Buenos_Aires'])('knows the time zone %j', (timezone) => {
    expect(cronFault({ cron: '* * * * *', timezone })).toBeNull();
  });
});

describe('nextRuns', () => {
  it('answers the times strictly after the given one, in the zone of the rule', () => {
    expect(runs('0 9 * * *', BERLIN, '2026-07-01T07:00:00.000Z', 2)).toEqual(['2026-07-02T07:00:00.000Z', '2026-07-03T07:00:00.000Z']);
    expect(runs('0 9 * * *', BERLIN, '2026-07-01T06:59:59.999Z', 1)).toEqual(['2026-07-01T07:00:00.000Z']);
    expect(runs('0 9 * * *', BERLIN, '2026-01-01T00:00:00.000Z', 1)).toEqual(['2026-01-01T08:00:00.000Z']);
    expect(runs('* * * * *', 'UTC', '2026-01-01T00:00:00.001Z', 2)).toEqual(['2026-01-01T00:01:00.000Z', '2026-01-01T00:02:00.000Z']);
  });

  it('finds days that are years away', () => {
    expect(runs('0 0 29 2 *', 'UTC', '2026-01-01T00:00:00Z', 2)).toEqual(['2028-02-29T00:00:00.000Z', '2032-02-29T00:00:00.000Z']);
  });

  it('takes a day of the month or a day of the week when both are named', () => {
    expect(runs('0 0 13 * FRI', 'UTC', '2026-02-01T00:00:00Z', 3)).toEqual([
      '2026-02-06T00:00:00.000Z',
      '2026-02-13T00:00:00.000Z',
      '2026-02-20T00:00:00.000Z',
    ]);
  });

  describe('where the clock goes forward (02:00 to 03:00 on 29 March 2026)', () => {
    it('fires a fixed time of the gap at its end, so that every day has one', () => {
      expect(runs('30 2 * * *', BERLIN, '2026-03-28T00:00:00Z')).toEqual([
        '2026-03-28T01:30:00.000Z',
        '2026-03-29T01:00:00.000Z',
        '2026-03-30T00:30:00.000Z',
      ]);
    });

    it('fires several fixed times of the gap once', () => {
      expect(runs('0,30 2 * * *', BERLIN, '2026-03-28T12:00:00Z')).toEqual([
        '2026-03-29T01:00:00.000Z',
        '2026-03-30T00:00:00.000Z',
        '2026-03-30T00:30:00.000Z',
      ]);
    });

    it('goes on every half hour that passes', () => {
      expect(runs('*/30 * * * *', BERLIN, '2026-03-29T00:00:00Z')).toEqual([
        '2026-03-29T00:30:00.000Z',
        '2026-03-29T01:00:00.000Z',
        '2026-03-29T01:30:00.000Z',
      ]);
    });

    it('fires at the end of a gap that swallows midnight', () => {
      expect(runs('0 0 * * *', 'America/Sao_Paulo', '2018-11-03T12:00:00Z', 2)).toEqual([
        '2018-11-04T03:00:00.000Z',
        '2018-11-05T02:00:00.000Z',
      ]);
    });
  });

  describe('where the clock goes back (03:00 to 02:00 on 25 October 2026)', () => {
    it('fires a fixed time once, when it comes first', () => {
      expect(runs('30 2 * * *', BERLIN, '2026-10-24T12:00:00Z', 2)).toEqual(['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']);
      expect(runs('30 2 * * *', BERLIN, '2026-10-25T00:30:00Z', 1)).toEqual(['2026-10-26T01:30:00.000Z']);
    });

    it('goes on every hour that passes', () => {
      expect(runs('30 * * * *', BERLIN, '2026-10-24T23:00:00Z', 4)).toEqual([
        '2026-10-24T23:30:00.000Z',
        '2026-10-25T00:30:00.000Z',
        '2026-10-25T01:30:00.000Z',
        '2026-10-25T02:30:00.000Z',
      ]);
    });
  });

  it('answers the same times one by one as at once, always later, whatever the rule, zone and start', () => {
    const cron = fc.constantFrom('* * * * *', '30 2 * * *', '*/20 1-3 * * *', '0 0,12 * * 1-5', '15 */6 L * *');
    const timezone = fc.constantFrom('UTC', BERLIN, 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata', 'Africa/Casablanca');
    const after = fc.date({ min: new Date('2020-01-01'), max: new Date('2040-01-01'), noInvalidDate: true });
    fc.assert(
      fc.property(cron, timezone, after, (rule, zone, start) => {
        const atOnce = nextRuns({ cron: rule, timezone: zone }, start, 6);
        let last = start;
        for (const at of atOnce) {
          expect(at.getTime()).toBeGreaterThan(last.getTime());
          expect(nextRuns({ cron: rule, timezone: zone }, last, 1)).toEqual([at]);
          last = at;
        }
      }),
      { numRuns: 200 },
    );
  });
});
