// Publisher and subscriptions against a Redis of the test's own, because connections are cut and the server goes away.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createLogger } from '@millrace/process';
import { eventually, startOwnRedis, type OwnRedis } from '@millrace/testing';
import { beginConnecting, createCommandConnection, createSubscriberConnection, isReady, type RedisClient } from './connection.ts';
import { createKeys } from './keys.ts';
import { createLocks } from './locks.ts';
import { createSubscriptions, type Subscriptions } from './subscriptions.ts';
import { createUpdatePublisher, readProgress } from './updates.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const keys = createKeys('{test}');
let redis: OwnRedis;
let commands: RedisClient;
let subscriber: RedisClient;
let subscriptions: Subscriptions;
let flowId: string;

beforeAll(async () => {
  redis = await startOwnRedis();
  commands = createCommandConnection({ url: redis.url, name: 'test-commands', log });
  subscriber = createSubscriberConnection({ url: redis.url, name: 'test-subscriber', log });
  subscriptions = createSubscriptions(subscriber);
  for (const client of [commands, subscriber]) beginConnecting(client);
  await ready();
});

beforeEach(() => {
  flowId = randomUUID();
});

afterAll(async () => {
  commands.disconnect();
  subscriber.disconnect();
  await redis.kill();
});

const ready = () =>
  eventually(
    () => {
      expect([isReady(commands), isReady(subscriber)]).toEqual([true, true]);
    },
    { withinMs: 10_000 },
  );
const publisher = () => createUpdatePublisher({ client: commands, keys });
const channel = () => keys.updates('default', flowId);

/** Listens to a channel and collects what is heard. */
async function listen(name = channel()): Promise<{ heard: string[]; listener: (message: string) => void }> {
  const heard: string[] = [];
  const listener = (message: string) => {
    heard.push(message);
  };
  await subscriptions.add(name, listener);
  return { heard, listener };
}

describe('a subscription', () => {
  it('hears everything that is published once it is in force, in order', async () => {
    const { heard } = await listen();
    const messages = Array.from({ length: 200 }, (_, n) => `[${n}]`);
    await publisher().publishEvents(messages.map((json) => ({ workspace: 'default', subjectId: flowId, json })));
    await eventually(() => {
      expect(heard).toEqual(messages);
    });
  });

  it('does not count as made for a second listener before it is in force for the first', async () => {
    const order: number[] = [];
    await Promise.all(
      [1, 2].map(async (n) => {
        await listen();
        order.push(n);
      }),
    );
    expect(order).toEqual([1, 2]);
  });

  it('is made once for many listeners and ended with the last', async () => {
    const [one, two] = [await listen(), await listen()];
    expect(await commands.pubsub('NUMSUB', channel())).toEqual([channel(), 1]);
    subscriptions.remove(channel(), one.listener);
    subscriptions.remove(channel(), one.listener);
    await commands.publish(channel(), 'x');
    await eventually(() => {
      expect(two.heard).toEqual(['x']);
    });
    expect(one.heard).toEqual([]);
    subscriptions.remove(channel(), two.listener);
    await eventually(async () => {
      expect(await commands.pubsub('NUMSUB', channel())).toEqual([channel(), 0]);
    });
  });

  it('can be made again at once after it was ended', async () => {
    const first = await listen();
    subscriptions.remove(channel(), first.listener);
    const second = await listen();
    await commands.publish(channel(), 'x');
    await eventually(() => {
      expect(second.heard).toEqual(['x']);
    });
  });

  it('hears nothing of other channels', async () => {
    const mine = await listen();
    await listen(keys.updates('other', flowId));
    await commands.publish(keys.updates('other', flowId), 'theirs');
    await commands.publish(channel(), 'mine');
    await eventually(() => {
      expect(mine.heard).toEqual(['mine']);
    });
  });
});

describe('a connection that is cut', () => {
  it('comes back by itself, subscribed as before, and tells that something may have been missed', async () => {
    const { heard } = await listen();
    let reconnects = 0;
    subscriptions.onReconnect(() => {
      reconnects += 1;
    });
    await commands.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await eventually(() => {
      expect(reconnects).toBe(1);
    });
    await eventually(async () => {
      await commands.publish(channel(), 'again');
      expect(heard).toContain('again');
    });
    expect(subscriptions.isLive()).toBe(true);
  });

  it('tells so only when the subscriptions are in force again', async () => {
    const { heard } = await listen();
    const told = Promise.withResolvers<void>();
    subscriptions.onReconnect(() => {
      commands.publish(channel(), 'published at once').then(() => {
        told.resolve();
      }, told.reject);
    });
    await commands.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await told.promise;
    await eventually(() => {
      expect(heard).toContain('published at once');
    });
  });
});

describe('progress', () => {
  it('keeps the latest report of each phase for a day and publishes every one', async () => {
    const { heard } = await listen(keys.progressChannel('default', flowId));
    const report = (phase: string, json: string) => ({ workspace: 'default', subjectId: flowId, phase, json });
    await publisher().publishProgress([report('a', '1'), report('b', '2'), report('a', '3')]);
    const state = keys.progressState('default', flowId);
    expect(await readProgress(commands, state)).toEqual({ a: '3', b: '2' });
    expect(await commands.ttl(state)).toBeGreaterThan(86_000);
    expect(await commands.ttl(state)).toBeLessThanOrEqual(86_400);
    await eventually(() => {
      expect(heard).toEqual(['1', '2', '3']);
    });
  });

  it('is empty for a flow that has reported none', async () => {
    expect(await readProgress(commands, keys.progressState('default', flowId))).toEqual({});
  });
});

describe('control', () => {
  it('reaches every process that listens', async () => {
    const { heard } = await listen(keys.control());
    await publisher().publishControl({ type: 'cancel', flowId });
    await eventually(() => {
      expect(heard.map((text) => JSON.parse(text) as unknown)).toEqual([{ type: 'cancel', flowId }]);
    });
  });
});

describe('a Redis that refuses a write', () => {
  it('is an error to the one who publishes', async () => {
    await commands.set(keys.progressState('default', flowId), 'of another type');
    await expect(publisher().publishProgress([{ workspace: 'default', subjectId: flowId, phase: 'a', json: '1' }])).rejects.toThrow(
      'WRONGTYPE',
    );
  });
});

// Last: the server is gone for a while.
describe('while Redis is away', () => {
  const failsFast = async (work: () => Promise<unknown>) => {
    const startedAt = performance.now();
    await expect(work()).rejects.toThrow();
    return performance.now() - startedAt;
  };

  it('every command fails at once, and a subscription waits without failing', async () => {
    await redis.kill();
    await eventually(() => {
      expect(isReady(commands)).toBe(false);
    });
    const locks = createLocks(commands);
    const request = [{ key: keys.lock('default', 'r'), token: 't' }];
    const message = { workspace: 'default', subjectId: flowId, json: '[]' };
    const works = [
      () => locks.acquire(request, 1_000),
      () => locks.renew(request, 1_000),
      () => locks.release(request),
      () => publisher().publishEvents([message]),
      () => publisher().publishProgress([{ ...message, phase: 'a' }]),
      () => publisher().publishControl({ type: 'cancel', flowId }),
      () => readProgress(commands, 'x'),
    ];
    for (const work of works) expect(await failsFast(work)).toBeLessThan(500);
    const { heard } = await listen();
    expect(subscriptions.isLive()).toBe(false);
    await redis.start();
    await ready();
    await eventually(async () => {
      await commands.publish(channel(), 'back');
      expect(heard).toContain('back');
    });
  }, 20_000);

  it('a server that answers nothing costs at most the limit of a command', async () => {
    await ready();
    redis.freeze();
    const tookMs = await failsFast(() => commands.get('x')).finally(() => {
      redis.thaw();
    });
    expect(tookMs).toBeLessThan(3_500);
    await eventually(async () => {
      expect(await commands.ping()).toBe('PONG');
    });
  }, 10_000);
});

describe('a subject', () => {
  it('is heard while somebody listens to it', async () => {
    const other = randomUUID();
    const subjects = [flowId, other].map((subjectId) => ({ workspace: 'default', subjectId }));
    expect(await publisher().heard(subjects)).toEqual([false, false]);
    const { listener } = await listen();
    expect(await publisher().heard(subjects)).toEqual([true, false]);
    subscriptions.remove(channel(), listener);
    await eventually(async () => {
      expect(await publisher().heard(subjects)).toEqual([false, false]);
    });
  });
});
