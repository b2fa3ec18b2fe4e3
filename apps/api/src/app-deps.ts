// What the application is put together from.
import type { Clock, Logger } from '@millrace/process';
import type { JobDispatcher } from '@millrace/queue';
import type { Keys, UpdatePublisher } from '@millrace/redis';
import type { FlowPlanner } from '@millrace/sdk';
import type { UploadStorage } from '@millrace/storage';
import { type Database } from '@millrace/store';
import { type Authenticator } from './auth/authenticator.ts';
import { type FlowDispatch } from './flows/flow-intake.ts';
import type { Readiness } from './health/readiness.ts';
import type { InstanceLoader } from './http/load-instance.ts';
import type { RequestLimiter } from './limits/request-limiter.ts';
import type { ApiMetrics } from './metrics/api-metrics.ts';
import { type EventRoutesDeps } from './routes/event-routes.ts';
import type { SpoolLimits } from '@millrace/imports';

export type RedisAccess = {
  keys: Keys;
  isReady(): boolean;
  ping(): Promise<void>;
  /** All fields of a hash. */
  readHash(key: string): Promise<Record<string, string>>;
};

export type BuildAppDeps = {
  database: Database;
  redis: RedisAccess;
  updates: UpdatePublisher;
  dispatcher: JobDispatcher;
  dispatch: FlowDispatch & {
    /** Reads the shares of the workspaces anew. */
    refreshWeights(): Promise<void>;
  };
  planner: FlowPlanner;
  storage: UploadStorage;
  uploadLimits: SpoolLimits;
  /** An upload that sends nothing for this long is cut. */
  uploadIdleMs: number;
  hub: EventRoutesDeps['hub'];
  authenticator: Authenticator;
  limiter: RequestLimiter;
  instance: InstanceLoader;
  readiness: Readiness;
  metrics: ApiMetrics;
  clock: Clock;
  log: Logger;
};
