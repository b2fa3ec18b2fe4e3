// All live streams of this process: one feed per watched subject whoever watches it, and the services that keep the streams true and bounded.
// Which requests may open a stream, and on what, is decided by the route.
import { stopAll, systemClock, withTimeout, type Service } from '@millrace/process';
import { createStreamAuthorizer } from './client/stream-authorizer.ts';
import { createStreamRegister } from './client/stream-register.ts';
import { createStreamSweeper } from './client/stream-sweeper.ts';
import { createEventPages } from './feed/event-pages.ts';
import { createHeadChecker } from './head-checker.ts';
import { epochOf, type HubState, type StreamHubDeps, type StreamRequest } from './hub-state.ts';
import { cutStream, dismissStream, finishStream, openStream } from './open-stream.ts';
import { STREAM_LIMITS } from './stream-limits.ts';

export type StreamHub = Service & {
  /**
   * Answers 200 and serves the stream until it ends. Settles when the stream is under way.
   * @throws AppError dependency-unavailable, before anything is written
   */
  open(request: StreamRequest): Promise<void>;
  counts(): { streams: number; subjects: number };
};

/** Start it after the HTTP server, so that it stops before it: the server waits for its streams to end. */
export function createStreamHub(deps: StreamHubDeps): StreamHub {
  const hub = createState(deps);
  const { clients, byKey } = hub.register;
  const headChecker = createHeadChecker({
    feeds: hub.feeds,
    database: deps.database,
    subscriptions: deps.subscriptions,
    clock: hub.clock,
    log: deps.log,
  });
  const authorizer = createStreamAuthorizer({
    byKey,
    isStillAllowed: deps.isStillAllowed,
    log: deps.log,
    expel: (client) => {
      dismissStream(hub, client, 'unauthorized');
    },
  });
  const sweeper = createStreamSweeper({
    clients,
    clock: hub.clock,
    cut: (client, reason) => {
      cutStream(hub, client, reason);
    },
    rotate: (client) => {
      dismissStream(hub, client, 'rotation');
    },
  });
  return {
    name: 'stream-hub',
    start: async () => {
      sweeper.start();
      await headChecker.start();
      await authorizer.start();
    },
    stop: async (deadlineMs) => {
      hub.isStopping = true;
      for (const client of clients) dismissStream(hub, client, 'shutdown');
      // The sweeper goes on meanwhile and cuts those who do not take their last bytes.
      await withTimeout(hub.register.whenEmpty(), deadlineMs / 2).catch(() => {
        deps.log.info({ streams: clients.size }, 'streams did not end in time, dropping them');
      });
      for (const client of clients) client.res.destroy();
      sweeper.stop();
      await stopAll([headChecker, authorizer], { deadlineMs: deadlineMs / 2, log: deps.log });
    },
    open: (request) => openStream(hub, request),
    counts: () => ({ streams: clients.size, subjects: hub.feeds.size }),
  };
}

function createState(deps: StreamHubDeps): HubState {
  const { streamsMax = STREAM_LIMITS.streamsMax, streamsPerKeyMax = () => STREAM_LIMITS.streamsPerKeyMax, observer = {} } = deps;
  const hub: HubState = {
    deps,
    clock: deps.clock ?? systemClock,
    observer,
    register: createStreamRegister({ streamsMax, streamsPerKeyMax }),
    feeds: new Map(),
    epoch: undefined,
    isStopping: false,
    context: {
      pages: createEventPages({ database: deps.database, epoch: () => epochOf(hub), limits: STREAM_LIMITS }),
      observer,
      limits: STREAM_LIMITS,
      onDone: (client) => {
        finishStream(hub, client);
      },
      // The head check, which fails as well then, reports the outage once.
      onReadFailed: (error) => {
        deps.log.debug({ err: error }, 'the events of a stream could not be read, will try again');
      },
    },
  };
  return hub;
}
