// Streams on real servers: every client has every event once and in order, on any instance, however often it comes back.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import { createCommandConnection, createUpdatePublisher, type RedisClient } from '@millrace/redis';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { createEventWriter, TEST_KEYS, WORKSPACE, type EventWriter } from './test-support/event-writer.ts';
import { readStream, type SseReader } from './test-support/sse-reader.ts';
import { redisUrl, startStreamServer, type StreamServer } from './test-support/stream-server.ts';

let testDatabase: TestDatabase;
let commands: RedisClient;
let writer: EventWriter;
let updates: ReturnType<typeof createUpdatePublisher>;
let first: StreamServer;
let second: StreamServer;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  commands = createCommandConnection({ url: redisUrl(), name: 'test', log: createLogger({ name: 'test', level: 'silent' }) });
  await commands.connect();
  updates = createUpdatePublisher({ client: commands, keys: TEST_KEYS });
  writer = createEventWriter({ database: testDatabase.database, updates });
  first = await startStreamServer({ database: testDatabase.database });
  second = await startStreamServer({ database: testDatabase.database });
});

afterAll(async () => {
  await first.stop();
  await second.stop();
  commands.disconnect();
  await testDatabase.drop();
});

const upTo = (last: number, from = 1) => Array.from({ length: last - from + 1 }, (_, index) => from + index);

describe('a stream without a cursor', () => {
  it('sends everything from seq 1 with ids and types, then what happens live', async () => {
    const flowId = await writer.newFlow();
    const reader = await readStream(first.url(flowId));
    await reader.untilSeq(2);
    await writer.publish(flowId, ['log'], { message: 'line\nwith\r\ndata: ends' });
    await reader.untilSeq(3);
    expect(reader.response.statusCode).toBe(200);
    expect(reader.response.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(reader.text).toMatch(/^retry: [2-5]\d{3}\n\n/);
    expect(reader.events.map(({ event }) => event)).toEqual(['flow.queued', 'phase.queued', 'log']);
    expect(reader.events[2]).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{12}\.3$/),
      data: { seq: 3, flowId, type: 'log', data: { message: 'line\nwith\r\ndata: ends' } },
    });
    reader.close();
  });

  it('has no gap and no duplicate while many write, many join, and messages overtake each other', async () => {
    const flowId = await writer.newFlow();
    const readers: SseReader[] = [];
    const join = async (count: number) => {
      for (let index = 0; index < count; index += 1) readers.push(await readStream((index % 2 === 0 ? first : second).url(flowId)));
    };
    const writeMany = async () => {
      for (let turn = 0; turn < 60; turn += 1) {
        const older = await writer.append(flowId, ['log', 'log']);
        const newer = await writer.append(flowId, ['log']);
        await writer.announce(newer);
        await writer.announce(older);
      }
    };
    await Promise.all([writeMany(), writeMany(), writeMany(), writeMany(), join(40)]);
    const last = 2 + 4 * 60 * 3;
    await Promise.all(readers.map((reader) => reader.untilSeq(last)));
    for (const reader of readers) {
      expect(reader.seqs()).toEqual(upTo(last));
      reader.close();
    }
  });

  it('replays a log of many pages', async () => {
    const flowId = await writer.newFlow();
    await writer.append(
      flowId,
      Array.from({ length: 1_500 }, () => 'log'),
      { message: 'x'.repeat(300) },
    );
    const reader = await readStream(first.url(flowId));
    await reader.untilSeq(1_502);
    expect(reader.seqs()).toEqual(upTo(1_502));
    reader.close();
  });
});

describe('a stream with a cursor', () => {
  it('goes on after Last-Event-ID on another instance with the same ids', async () => {
    const flowId = await writer.newFlow();
    const before = await readStream(first.url(flowId));
    await before.untilSeq(2);
    before.close();
    await writer.publish(flowId, ['log', 'log']);
    const after = await readStream(second.url(flowId, '?after=0'), { 'last-event-id': before.lastId() ?? '' });
    await after.untilSeq(4);
    expect(after.seqs()).toEqual([3, 4]);
    expect(after.lastId()?.split('.')[0]).toBe(before.lastId()?.split('.')[0]);
    after.close();
  });

  it('goes on after ?after=', async () => {
    const flowId = await writer.newFlow();
    const reader = await readStream(first.url(flowId, '?after=1'));
    await reader.untilSeq(2);
    expect(reader.seqs()).toEqual([2]);
    reader.close();
  });

  it.each([
    ['malformed', 'abc'],
    ['malformed', '-1'],
    ['malformed', '1e99'],
    ['malformed', '99999999999999999999'],
    ['malformed', 'x'.repeat(10_000)],
    ['epoch', '000000000000.1'],
  ])('begins with reset (%s) for %.30s, then sends everything from seq 1', async (reason, id) => {
    const flowId = await writer.newFlow();
    const reader = await readStream(first.url(flowId), { 'last-event-id': id });
    await reader.untilSeq(2);
    expect(reader.response.statusCode).toBe(200);
    expect(reader.events[0]).toMatchObject({ event: 'reset', data: { reason, epoch: expect.stringMatching(/^[0-9a-f]{12}$/) } });
    expect(reader.seqs()).toEqual([1, 2]);
    reader.close();
  });

  it('begins with reset for an id ahead of the log, and the id of the reset itself can be continued', async () => {
    const flowId = await writer.newFlow();
    const reader = await readStream(first.url(flowId, '?after=3'));
    await reader.untilSeq(2);
    expect(reader.events[0]).toMatchObject({ event: 'reset', data: { reason: 'ahead' } });
    const again = await readStream(first.url(flowId), { 'last-event-id': reader.events[0]?.id ?? '' });
    await again.untilSeq(2);
    expect(again.events.map(({ event }) => event)).toEqual(['flow.queued', 'phase.queued']);
    reader.close();
    again.close();
  });
});

describe('until=end', () => {
  it('ends the stream after the terminal event of the current run, not at that of an earlier one', async () => {
    const flowId = await writer.newFlow();
    const live = await readStream(first.url(flowId, '?until=end'));
    await writer.publish(flowId, ['flow.failed', 'flow.queued']);
    await live.untilSeq(4);
    await writer.setStatus(flowId, 'completed');
    await writer.publish(flowId, ['phase.completed', 'flow.completed']);
    await live.ended;
    expect(live.seqs()).toEqual(upTo(6));
    const replayed = await readStream(second.url(flowId, '?until=end'));
    await replayed.ended;
    expect(replayed.seqs()).toEqual(upTo(6));
  });

  it('ends at once when the terminal event lies behind the cursor', async () => {
    const flowId = await writer.newFlow();
    await writer.setStatus(flowId, 'cancelled');
    await writer.publish(flowId, ['flow.cancelled']);
    const reader = await readStream(first.url(flowId, '?until=end&after=3'));
    await reader.ended;
    expect(reader.events).toEqual([]);
  });

  it('goes on into a run that was opened before the client came, although this instance has not heard of it', async () => {
    const flowId = await writer.newFlow();
    const watcher = await readStream(first.url(flowId));
    await writer.publish(flowId, ['flow.failed']);
    await watcher.untilSeq(3);
    await writer.append(flowId, ['flow.queued']);
    const reader = await readStream(first.url(flowId, '?until=end&after=3'));
    await reader.untilSeq(4);
    expect(reader.seqs()).toEqual([4]);
    reader.close();
    watcher.close();
  });
});

describe('progress', () => {
  it('travels without id beside the events, and a late comer gets the latest of each phase that runs', async () => {
    const flowId = await writer.newFlow();
    const early = await readStream(first.url(flowId));
    await early.untilSeq(2);
    const report = (phase: string, fraction: number) =>
      updates.publishProgress([
        {
          workspace: WORKSPACE,
          subjectId: flowId,
          phase,
          json: JSON.stringify({ flowId, phase, fraction, at: '2026-01-01T00:00:00.000Z' }),
        },
      ]);
    await report('only', 0.1);
    await report('only', 0.2);
    await report('other', 0.5);
    await early.until(({ events }) => events.filter(({ event }) => event === 'progress').length === 3);
    await writer.publish(flowId, ['phase.completed']);
    await early.untilSeq(3);
    const late = await readStream(first.url(flowId));
    await late.until(({ events }) => events.some(({ event }) => event === 'progress'));
    expect(early.events.filter(({ event }) => event === 'progress').map(({ id, data }) => [id, data['fraction']])).toEqual([
      [undefined, 0.1],
      [undefined, 0.2],
      [undefined, 0.5],
    ]);
    expect(late.events.filter(({ event }) => event === 'progress').map(({ data }) => data['phase'])).toEqual(['other']);
    early.close();
    late.close();
  });
});
