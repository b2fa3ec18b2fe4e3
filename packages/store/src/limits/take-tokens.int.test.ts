import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { takeFromLimits, type TokenRequest } from './take-tokens.ts';

const HOUR_MS = 3_600_000;
let test: TestDatabase;

beforeAll(async () => {
  test = await createTestDatabase();
});

afterAll(async () => {
  await test.drop();
});

const request = (key: string, changes: Partial<TokenRequest> = {}): TokenRequest => ({
  workspace: 'default',
  key,
  windows: [{ max: 10, perMs: HOUR_MS }],
  units: 1,
  lineUpAfterMs: null,
  ...changes,
});
const take = (...requests: TokenRequest[]) => takeFromLimits(test.database.main, requests);
const takenOf = async (answers: Promise<{ taken: boolean }[]>) => (await answers).map(({ taken }) => taken);

describe('takeFromLimits', () => {
  it('serves the requests of one limit in order, and says when to come again', async () => {
    const answers = await take(request('a', { units: 6 }), request('a', { units: 5 }), request('a', { units: 4 }), request('b'));
    expect(answers.map(({ taken }) => taken)).toEqual([true, false, true, true]);
    const refused = answers[1] as { retryInMs: number };
    expect(refused.retryInMs).toBeGreaterThan(HOUR_MS - 10_000);
    expect(refused.retryInMs).toBeLessThanOrEqual(HOUR_MS);
    expect(await take(request('a', { units: 11 }))).toEqual([{ taken: false, retryInMs: null }]);
  });

  it('keeps workspaces and keys apart', async () => {
    const all = { units: 10 };
    expect(await takenOf(take(request('apart', all), request('apart', { ...all, workspace: 'other' }), request('apart:x', all)))).toEqual([
      true,
      true,
      true,
    ]);
    expect(await takenOf(take(request('apart')))).toEqual([false]);
  });

  it('lets no more through than the limit has, however many take at the same time', async () => {
    const keys = ['p', 'q', 'r'];
    const batches = Array.from({ length: 24 }, (_, batch) =>
      keys.toSorted(() => (batch % 2) - 0.5).flatMap((key) => [request(key), request(key)]),
    );
    const answers = (await Promise.all(batches.map((batch) => take(...batch)))).flat();
    expect(answers.filter(({ taken }) => taken)).toHaveLength(keys.length * 10);
    const kept = await test.database.main.query<{ key: string; used: { taken: [number, number][] }[] }>(
      "SELECT key, used FROM millrace.rate_limits WHERE key IN ('p', 'q', 'r') ORDER BY key",
    );
    expect(kept.rows.map(({ used }) => used[0]?.taken.reduce((sum, [, units]) => sum + units, 0))).toEqual([10, 10, 10]);
  });

  it('gives units again when their window has passed', async () => {
    const quick = request('quick', { windows: [{ max: 2, perMs: 60 }], units: 2 });
    expect(await takenOf(take(quick))).toEqual([true]);
    const [refused] = await take(quick);
    expect(refused).toMatchObject({ taken: false });
    await new Promise((resolve) => {
      setTimeout(resolve, (refused as { retryInMs: number }).retryInMs);
    });
    expect(await takenOf(take(quick))).toEqual([true]);
  });

  it('sends each of many away until it is its turn, whichever process it asks', async () => {
    const windows = [
      { max: 10, perMs: 60_000 },
      { max: 15, perMs: HOUR_MS },
    ];
    const batch = () => Array.from({ length: 25 }, () => request('line', { windows, lineUpAfterMs: 1_000 }));
    const answers = (await Promise.all([take(...batch()), take(...batch()), take(...batch())])).flat();
    const minutes = answers
      .flatMap((answer) => (answer.taken ? [] : [Math.round((answer.retryInMs ?? 0) / 60_000)]))
      .toSorted((a, b) => a - b);
    const times = (count: number, minute: number) => Array.from({ length: count }, () => minute);
    expect(minutes).toEqual([...times(5, 1), ...[60, 120, 180, 240].flatMap((minute) => [...times(10, minute), ...times(5, minute + 1)])]);
  });

  it('sends nobody into the line who waits in place or does not come back', async () => {
    const windows = [{ max: 1, perMs: 60_000 }];
    const [, first, second] = await take(
      request('no line', { windows }),
      request('no line', { windows, lineUpAfterMs: 60_000 }),
      request('no line', { windows }),
    );
    expect(second).toEqual(first);
    expect((await test.database.main.query("SELECT line FROM millrace.rate_limits WHERE key = 'no line'")).rows).toEqual([{ line: [] }]);
  });

  it('rings for the time when the row can go, once for each row', async () => {
    await take(request('rings', { units: 2 }));
    await take(request('rings'));
    const { rows } = await test.database.main.query<{ far: boolean }>(
      "SELECT next_at > now() + interval '59 minutes' AS far FROM millrace.admissions WHERE kind = 'rate' AND workspace = 'default' AND key = 'rings'",
    );
    expect(rows).toEqual([{ far: true }]);
  });

  it('goes by the windows of the one who asks, and keeps the latest', async () => {
    await take(request('changed', { units: 8 }));
    const wider = { windows: [{ max: 20, perMs: HOUR_MS }] };
    expect(await takenOf(take(request('changed', { ...wider, units: 12 }), request('changed', wider)))).toEqual([true, false]);
    expect((await test.database.main.query("SELECT windows FROM millrace.rate_limits WHERE key = 'changed'")).rows).toEqual([wider]);
  });
});
