// The doorbell rings for those who listen, and for nobody else anything is made of the events.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { createLogger } from '@millrace/process';
import {
  beginConnecting,
  createCommandConnection,
  createKeys,
  createSubscriberConnection,
  createSubscriptions,
  createUpdatePublisher,
  isReady,
  type RedisClient,
} from '@millrace/redis';
import type { LoggedEvent } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEventPublisher } from './event-publisher.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const keys = createKeys(`{test-${process.pid}-doorbell}`);
let commands: RedisClient;
let subscriber: RedisClient;

beforeAll(async () => {
  const options = { url: process.env['REDIS_URL'] ?? '', name: 'test-doorbell', log };
  commands = createCommandConnection(options);
  subscriber = createSubscriberConnection(options);
  for (const client of [commands, subscriber]) beginConnecting(client);
  await eventually(() => {
    expect([isReady(commands), isReady(subscriber)]).toEqual([true, true]);
  });
});

afterAll(() => {
  commands.disconnect();
  subscriber.disconnect();
});

const event = (subjectId: string, seq: number): LoggedEvent => ({
  subjectId,
  seq,
  workspace: 'default',
  type: 'flow.started',
  phase: null,
  at: '2026-01-02T03:04:05.678901+00:00',
  data: {},
});

it('makes events only when somebody listens to a flow, and sends only those of that flow', async () => {
  const publisher = createEventPublisher({ updates: createUpdatePublisher({ client: commands, keys }), log });
  const [heard, unheard, alone] = [randomUUID(), randomUUID(), randomUUID()];
  const made: string[] = [];
  const source = (...ids: string[]) => ({
    subjects: ids.map((subjectId) => ({ subjectId, workspace: 'default' })),
    get events() {
      made.push(...ids);
      return ids.flatMap((id) => [event(id, 1), event(id, 2)]);
    },
  });
  const messages: unknown[] = [];
  await createSubscriptions(subscriber).add(keys.updates('default', heard), (json) => {
    messages.push(JSON.parse(json));
  });
  publisher.publish(source(alone));
  publisher.publish(source(unheard, heard));
  publisher.publish([event(alone, 3), event(heard, 3)]);
  await publisher.drain();
  expect(made).toEqual([unheard, heard]);
  await eventually(() => {
    expect(messages).toMatchObject([[{ flowId: heard, seq: 1 }, { seq: 2 }], [{ flowId: heard, seq: 3 }]]);
  });
  expect(publisher.failedCount()).toBe(0);
});
