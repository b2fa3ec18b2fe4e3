// What a handler says while it works: log lines and progress.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PhaseContext } from '@millrace/sdk';
import { createLogger } from '@millrace/process';
import { LIMITS } from '@millrace/shared';
import { createSubscriberConnection, createSubscriptions, readProgress, type RedisClient, type Subscriptions } from '@millrace/redis';
import { eventually } from '@millrace/testing';
import { createEngineFixture, type EngineFixture } from '../test-support/engine-fixture.ts';

let test: EngineFixture;
let subscriber: RedisClient;
let subscriptions: Subscriptions;

beforeAll(async () => {
  test = await createEngineFixture();
  await test.engine();
  subscriber = createSubscriberConnection({
    url: process.env['REDIS_URL'] ?? '',
    name: 'test',
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  await subscriber.connect();
  subscriptions = createSubscriptions(subscriber);
});

afterAll(async () => {
  subscriber.disconnect();
  await test.close();
});

async function run(handler: (ctx: PhaseContext) => unknown, retry: object = { attempts: 1 }) {
  const flowId = await test.start(test.define({ only: { retry, run: handler } }));
  const {
    phases: [phase],
  } = await test.ended(flowId);
  return { phase, flowId, logs: (await test.events(flowId)).filter((event) => event.type === 'log').map((event) => event.data) };
}

describe('ctx.log', () => {
  it('writes lines in their order, all of them before the end of the phase', async () => {
    const { flowId, logs } = await run((ctx) => {
      ctx.log.debug('one');
      ctx.log.info('two', { n: 2 });
      ctx.log.warn('three');
      ctx.log.error('four');
    });
    expect(logs).toEqual([
      { level: 'debug', message: 'one' },
      { level: 'info', message: 'two', data: { n: 2 } },
      { level: 'warn', message: 'three' },
      { level: 'error', message: 'four' },
    ]);
    expect((await test.story(flowId)).slice(-3)).toEqual(['log only', 'phase.completed only', 'flow.completed']);
  });

  it('writes the lines of a failed attempt before its failure', async () => {
    const { flowId } = await run((ctx) => {
      ctx.log.info('so far');
      throw new Error('no');
    });
    expect((await test.story(flowId)).slice(-3)).toEqual(['log only', 'phase.failed only', 'flow.failed']);
  });

  it('cuts long messages, and keeps every line whatever characters stand in it or at the cut', async () => {
    const { logs } = await run((ctx) => {
      ctx.log.info(`${'x'.repeat(LIMITS.logMessageCharsMax - 1)}😀`);
      ctx.log.info('NUL \0 and a lone \ud800');
      ctx.log.info('after');
    });
    expect(logs).toHaveLength(3);
    expect(String(logs[0]?.['message'])).toHaveLength(LIMITS.logMessageCharsMax);
    expect(logs[1]?.['message']).toBe('NUL \\0 and a lone \ufffd');
  });

  it('drops data that cannot be kept, and says so on the line', async () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const { logs } = await run((ctx) => {
      ctx.log.info('circle', circle);
      ctx.log.info('large', { text: 'x'.repeat(10_000) });
      ctx.log.info('NUL', { text: '\0' });
    });
    expect(
      logs.map((line) => [line['message'], (line['data'] as { dataDropped?: string } | undefined)?.dataDropped ?? line['dataDropped']]),
    ).toEqual([
      ['circle', expect.stringContaining('circular')],
      ['large', expect.stringContaining('larger')],
      ['NUL', expect.stringContaining('NUL')],
    ]);
  });

  it('stops at 10,000 lines of an attempt and says how many it dropped', async () => {
    const { flowId } = await run((ctx) => {
      for (let n = 0; n < 10_005; n += 1) ctx.log.info(`${n}`);
    });
    const found = await test.database.main.query<{ count: number; last: string }>(
      "SELECT count(*)::int AS count, (array_agg(data->>'message' ORDER BY seq DESC))[1] AS last FROM millrace.events WHERE subject_id = $1 AND type = 'log'",
      [flowId],
    );
    expect(found.rows[0]).toEqual({
      count: 10_001,
      last: '5 more lines were dropped: an attempt may write 10000, and 1024 KiB may wait to be written',
    });
  });

  it('holds at most 1 MiB of lines that wait, in pieces that one statement takes', async () => {
    const { flowId } = await run((ctx) => {
      for (let n = 0; n < 1_000; n += 1) ctx.log.info('x'.repeat(LIMITS.logMessageCharsMax), { n });
    });
    const found = await test.database.main.query<{ count: number; statements: number; last: string }>(
      `SELECT count(*)::int AS count, (SELECT count(*)::int FROM millrace.event_log WHERE subject_id = $1 AND entries->0->>0 = 'log') AS statements, (array_agg(data->>'message' ORDER BY seq DESC))[1] AS last
       FROM millrace.events WHERE subject_id = $1 AND type = 'log'`,
      [flowId],
    );
    const { count = 0, statements, last } = found.rows[0] ?? {};
    expect(count).toBeGreaterThan(250);
    expect(count).toBeLessThan(265);
    expect(statements).toBe(Math.ceil((count * 4_040) / (256 * 1024)));
    expect(last).toContain(`${1_001 - count} more lines were dropped`);
  });

  it('loses no line and no order when the database refuses it for a while', async () => {
    const { flowId, logs } = await run(async (ctx) => {
      const client = await test.database.long.connect();
      await client.query('BEGIN');
      await client.query('LOCK TABLE millrace.event_log IN ACCESS EXCLUSIVE MODE');
      for (let n = 0; n < 1_200; n += 1) ctx.log.info(`${n}`);
      await eventually(async () => {
        const blocked = await test.database.main.query<{ pid: number }>(
          `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO millrace.event_log%'`,
        );
        expect(blocked.rows).toHaveLength(1);
        await test.database.main.query('SELECT pg_terminate_backend($1)', [blocked.rows[0]?.pid]);
      });
      await client.query('COMMIT');
      client.release();
    });
    expect(logs.map((line) => line['message'])).toEqual(Array.from({ length: logs.length }, (_, n) => `${n}`));
    const counted = await test.database.main.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM millrace.events WHERE subject_id = $1 AND type = 'log'",
      [flowId],
    );
    expect(counted.rows[0]?.count).toBe(1_200);
  });
});

describe('ctx.progress', () => {
  it('sends the first report at once, few of many, and always the last', async () => {
    const heard: { fraction: number }[] = [];
    let listening: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => {
      listening = resolve;
    });
    const flowId = await test.start(
      test.define({
        only: {
          run: async (ctx: PhaseContext) => {
            await ready;
            for (let n = 0; n <= 1_000; n += 1) ctx.progress(n / 1_000, `${n}`);
          },
        },
      }),
    );
    await subscriptions.add(test.keys.progressChannel('default', flowId), (text) => {
      heard.push(JSON.parse(text) as { fraction: number });
    });
    listening();
    await test.ended(flowId);
    expect(heard.map((report) => report.fraction)).toEqual([0, 1]);
    const kept = await readProgress(test.redis, test.keys.progressState('default', flowId));
    expect(JSON.parse(kept['only'] ?? '')).toMatchObject({
      flowId,
      phase: 'only',
      fraction: 1,
      message: '1000',
      at: expect.stringMatching(/Z$/),
    });
  });

  it.each([
    [-1, 0],
    [2, 1],
    [Number.NaN, 0],
    [Number.POSITIVE_INFINITY, 0],
    [0.25, 0.25],
  ])('takes %p for %p', async (given, fraction) => {
    const { flowId } = await run((ctx) => {
      ctx.progress(given);
    });
    expect(JSON.parse((await readProgress(test.redis, test.keys.progressState('default', flowId)))['only'] ?? '')).toMatchObject({
      fraction,
    });
  });

  it('leaves out a detail that cannot be kept and cuts a long message between characters', async () => {
    const { flowId, phase } = await run((ctx) => {
      ctx.progress(0.5, `${'x'.repeat(LIMITS.progressMessageCharsMax - 1)}😀`, { n: 1n });
    });
    const report = JSON.parse((await readProgress(test.redis, test.keys.progressState('default', flowId)))['only'] ?? '') as {
      message: string;
      detail?: unknown;
    };
    expect([phase?.status, report.detail, report.message.length, report.message.isWellFormed()]).toEqual([
      'completed',
      undefined,
      LIMITS.progressMessageCharsMax,
      true,
    ]);
  });
});
