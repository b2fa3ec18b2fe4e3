// The only package that knows Redis commands, but for BullMQ's own in packages/queue.
export { beginConnecting, createCommandConnection, createSubscriberConnection, isReady } from './connection.ts';
export type { ConnectionOptions, RedisClient } from './connection.ts';
export { createKeys } from './keys.ts';
export type { Keys } from './keys.ts';
export { createLocks } from './locks.ts';
export type { LockRequest, Locks } from './locks.ts';
export { createRequestCounter } from './request-counter.ts';
export type { AskedRequests, CountedRequests, RequestCounter } from './request-counter.ts';
export { createSubscriptions } from './subscriptions.ts';
export type { Subscriptions } from './subscriptions.ts';
export { createUpdatePublisher, readProgress } from './updates.ts';
export type { ControlMessage, UpdateMessage, UpdatePublisher } from './updates.ts';
