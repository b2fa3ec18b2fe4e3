// What the parts of the stream hub share: its dependencies, who is connected, and one feed per watched subject.
import type { ServerResponse } from 'node:http';
import type { Clock, Logger } from '@millrace/process';
import type { Keys, Subscriptions } from '@millrace/redis';
import type { Principal } from '@millrace/shared';
import type { Queryable } from '@millrace/store';
import type { StreamRegister } from './client/stream-register.ts';
import type { FeedContext, StreamObserver } from './feed/feed-state.ts';
import type { SubjectFeed } from './feed/subject-feed.ts';
import type { GivenCursor } from './frames/event-id.ts';

export type StreamHubDeps = {
  subscriptions: Subscriptions;
  keys: Pick<Keys, 'updates' | 'progressChannel'>;
  database: { main: Queryable };
  /** Names the history of the database; asked until it is known, then kept. */
  epoch(): Promise<string>;
  /** False when the key was revoked, has expired or lost its role. Asked every 10 s per key; a rejection ends nothing. */
  isStillAllowed(principal: Principal): Promise<boolean>;
  log: Logger;
  clock?: Clock;
  observer?: StreamObserver;
  /** Streams that a key may have open in this process. Default: 1,000 for everybody. */
  streamsPerKeyMax?(principal: Principal): number;
  /** Streams of this process, all keys together. Default 20,000. */
  streamsMax?: number;
};

export type StreamRequest = {
  /** Nothing may have been written to it. */
  res: ServerResponse;
  principal: Principal;
  /** Known to exist in this workspace. */
  subject: { id: string; workspace: string };
  /** As PostgreSQL had it when the request came. */
  head: { seqLast: number; ended: boolean };
  cursor: GivenCursor;
  /** Close the stream after the terminal event of the current run. */
  untilEnd: boolean;
};

export type HubState = {
  readonly deps: StreamHubDeps;
  readonly clock: Clock;
  readonly observer: StreamObserver;
  readonly register: StreamRegister;
  readonly feeds: Map<string, SubjectFeed>;
  readonly context: FeedContext;
  epoch: string | undefined;
  isStopping: boolean;
};

/** @throws what the dependency throws while the epoch is not known yet */
export async function epochOf(hub: Pick<HubState, 'deps' | 'epoch'>): Promise<string> {
  hub.epoch ??= await hub.deps.epoch();
  return hub.epoch;
}
