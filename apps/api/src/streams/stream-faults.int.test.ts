// Streams while parts of the system fail: a lost doorbell, a lost Redis or PostgreSQL connection, clients that do not read, shutdown.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, type Socket } from 'node:net';
import { createLogger, systemClock } from '@millrace/process';
import { createCommandConnection, createUpdatePublisher, type RedisClient } from '@millrace/redis';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { createEventWriter, TEST_KEYS, WORKSPACE, type EventWriter } from './test-support/event-writer.ts';
import { readStream } from './test-support/sse-reader.ts';
import { redisUrl, startStreamServer, type StreamServer, type StreamServerOptions } from './test-support/stream-server.ts';

let testDatabase: TestDatabase;
let commands: RedisClient;
let writer: EventWriter;
const servers: StreamServer[] = [];

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  commands = createCommandConnection({ url: redisUrl(), name: 'test', log: createLogger({ name: 'test', level: 'silent' }) });
  await commands.connect();
  writer = createEventWriter({ database: testDatabase.database, updates: createUpdatePublisher({ client: commands, keys: TEST_KEYS }) });
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

afterAll(async () => {
  commands.disconnect();
  await testDatabase.drop();
});

async function start(options: Partial<StreamServerOptions> = {}): Promise<StreamServer> {
  const server = await startStreamServer({ database: testDatabase.database, ...options });
  servers.push(server);
  return server;
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** A connection that asks for a stream and never reads from it. */
function neverRead(server: StreamServer, flowId: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => {
      socket.write(`GET /v1/flows/${flowId}/events HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n`);
      socket.pause();
      resolve(socket);
    });
    socket.on('error', () => undefined);
  });
}

describe('a lost doorbell', () => {
  it('delays events by the head check and loses none', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(2);
    await writer.append(flowId, ['log', 'log']);
    await reader.untilSeq(4);
    await writer.append(flowId, ['log']);
    await writer.publish(flowId, ['log']);
    await reader.untilSeq(6);
    expect(reader.seqs()).toEqual(upTo(6));
    reader.close();
  });

  it('asks PostgreSQL when a message cannot be read', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(2);
    await writer.append(flowId, ['log']);
    for (const message of ['', 'no json', '{}', '[{"seq":"4"}]']) await commands.publish(TEST_KEYS.updates(WORKSPACE, flowId), message);
    await reader.untilSeq(3);
    expect(reader.seqs()).toEqual(upTo(3));
    reader.close();
  });

  it('ends until=end streams even when an event was announced that does not exist', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId, '?until=end'));
    await reader.untilSeq(2);
    await commands.publish(TEST_KEYS.updates(WORKSPACE, flowId), JSON.stringify([{ seq: 99, flowId, type: 'log', at: '', data: {} }]));
    await writer.publish(flowId, ['flow.completed']);
    await reader.ended;
    expect(reader.seqs()).toEqual(upTo(3));
  });
});

describe('Redis', () => {
  it('may drop the subscriber: what happened meanwhile arrives, and the doorbell works again', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(2);
    for (let last = 3; last <= 7; last += 1) {
      const list = String(await commands.client('LIST'));
      const id = list
        .split('\n')
        .find((line) => line.includes(` name=${server.subscriberName} `))
        ?.match(/id=(\d+)/)?.[1];
      expect(await commands.client('KILL', 'ID', id ?? '')).toBe(1);
      await writer.publish(flowId, ['log']);
      await reader.untilSeq(last);
    }
    expect(reader.seqs()).toEqual(upTo(7));
    reader.close();
  });

  it('may be away from the beginning: streams live from PostgreSQL', async () => {
    const server = await start({ redisUrl: 'redis://127.0.0.1:1' });
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(2);
    await writer.append(flowId, ['log']);
    await reader.untilSeq(3);
    expect(reader.seqs()).toEqual(upTo(3));
    reader.close();
  });
});

describe('PostgreSQL', () => {
  it('may fail for a while: streams stay open and catch up', async () => {
    const faults = { count: 3 };
    const main = new Proxy(testDatabase.database.main, {
      get: (pool, name) => {
        if (name !== 'query' || faults.count === 0) return Reflect.get(pool, name) as unknown;
        return (query: { name?: string }) => {
          if (query.name !== 'read-heads') return pool.query(query as never);
          faults.count -= 1;
          return Promise.reject(new Error('Connection terminated'));
        };
      },
    });
    const server = await start({ database: { ...testDatabase.database, main } });
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(2);
    await writer.append(flowId, ['log']);
    await reader.untilSeq(3);
    expect(faults.count).toBe(0);
    reader.close();
  });
});

describe('a log with a hole', () => {
  it('is never passed over in silence: the client is reset and goes on behind the hole', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    await writer.append(flowId, ['log', 'log', 'log', 'log']);
    await testDatabase.database.main.query('DELETE FROM millrace.event_log WHERE subject_id = $1 AND seq BETWEEN 3 AND 4', [flowId]);
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(6);
    expect(reader.events.map(({ event, data }) => data['seq'] ?? [event, data['reason']])).toEqual([1, 2, ['reset', 'gap'], 5, 6]);
    reader.close();
  });
});

describe('a client that does not read', () => {
  it('is cut, and costs the others nothing', async () => {
    const cuts: string[] = [];
    // Five times as fast, so that the 5 s take one.
    const clock = { ...systemClock, monotonicMs: () => 5 * systemClock.monotonicMs() };
    const server = await start({ clock, observer: { onCut: (reason) => cuts.push(reason) } });
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    const sockets = await Promise.all(Array.from({ length: 5 }, () => neverRead(server, flowId)));
    for (let turn = 0; turn < 40; turn += 1)
      await writer.publish(
        flowId,
        Array.from({ length: 10 }, () => 'log'),
        { message: 'x'.repeat(20_000) },
      );
    await reader.untilSeq(402);
    let last = 402;
    for (; server.hub.counts().streams > 1; last += 1) {
      await writer.publish(flowId, ['log']);
      await reader.untilSeq(last + 1);
    }
    expect(reader.seqs()).toEqual(upTo(last));
    expect(cuts).toEqual(Array.from({ length: 5 }, () => 'too-slow'));
    expect(server.hub.counts()).toEqual({ streams: 1, subjects: 1 });
    for (const socket of sockets) socket.destroy();
    reader.close();
  }, 30_000);

  it('and reads again in time, gets everything in order', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    await writer.append(
      flowId,
      Array.from({ length: 600 }, () => 'log'),
      { message: 'x'.repeat(10_000) },
    );
    const reader = await readStream(server.url(flowId));
    reader.response.pause();
    for (let turn = 0; turn < 20; turn += 1) await writer.publish(flowId, ['log', 'log']);
    reader.response.resume();
    await reader.untilSeq(642);
    expect(reader.seqs()).toEqual(upTo(642));
    reader.close();
  });
});

describe('the end of streams', () => {
  it('says bye with a time to come back on shutdown, also to those who come late', async () => {
    const server = await start();
    const flowId = await writer.newFlow();
    const reader = await readStream(server.url(flowId));
    await reader.untilSeq(2);
    await server.hub.stop(2_000);
    await reader.ended;
    const late = await readStream(server.url(flowId));
    await late.ended;
    for (const { text, events } of [reader, late]) {
      expect(events.at(-1)).toMatchObject({ event: 'bye', id: undefined, data: { reason: 'shutdown' } });
      expect(text).toMatch(/retry: [2-5]\d{3}\nevent: bye\ndata: .*\n\n$/);
    }
  });

  it('refuses a key that has too many open with 200, refused and a time to come back', async () => {
    const server = await start({ streamsPerKeyMax: () => 2 });
    const flowId = await writer.newFlow();
    const open = [await readStream(server.url(flowId)), await readStream(server.url(flowId))];
    const refused = await readStream(server.url(flowId));
    const other = await readStream(server.url(flowId), { 'x-key': 'other' });
    await refused.ended;
    await other.untilSeq(2);
    expect(refused.response.statusCode).toBe(200);
    expect(refused.events).toEqual([{ id: undefined, event: 'refused', data: { reason: 'too-many-streams' } }]);
    for (const reader of [...open, other]) reader.close();
  });

  it('leaves no listener and no feed behind, whoever ends them', async () => {
    let open = 50;
    const allClosed = Promise.withResolvers<void>();
    const server = await start({
      observer: {
        onClosed: () => {
          if ((open -= 1) === 0) allClosed.resolve();
        },
      },
    });
    const flowIds = await Promise.all(Array.from({ length: 5 }, () => writer.newFlow()));
    const readers = await Promise.all(Array.from({ length: 50 }, (_, index) => readStream(server.url(flowIds[index % 5] ?? ''))));
    await Promise.all(readers.map((reader) => reader.untilSeq(2)));
    const watcher = await readStream(server.url(await writer.newFlow()));
    expect(server.hub.counts()).toEqual({ streams: 51, subjects: 6 });
    for (const reader of readers) reader.close();
    await allClosed.promise;
    expect(server.hub.counts()).toEqual({ streams: 1, subjects: 1 });
    const channels = await Promise.all(
      flowIds.map((id) => commands.pubsub('NUMSUB', TEST_KEYS.updates(WORKSPACE, id), TEST_KEYS.progressChannel(WORKSPACE, id))),
    );
    expect(channels.flat().filter((_, index) => index % 2 === 1)).toEqual(Array.from({ length: 10 }, () => 0));
    watcher.close();
  });
});
