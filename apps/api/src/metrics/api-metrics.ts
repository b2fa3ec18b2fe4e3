// The figures of one API process, in a registry of its own.
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Exchange } from '../http/exchange.ts';

export type PoolCounts = { total: number; idle: number; waiting: number };

export type ApiMetrics = {
  /** For parts that keep figures of their own. */
  readonly registry: Registry;
  requestDone(exchange: Exchange): void;
  batchWritten(flowCount: number): void;
  flowsAccepted(flowCount: number): void;
  text(): Promise<{ contentType: string; text: string }>;
};

export type ApiMetricsSources = {
  /** Connection pools by name, read when the figures are asked for. */
  pools(): Readonly<Record<string, PoolCounts>>;
  dispatchFailures(): number;
  uncountedRequests(): number;
};

const DURATION_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BATCH_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500];

export function createApiMetrics(sources: ApiMetricsSources): ApiMetrics {
  const registers = [new Registry()] as [Registry];
  const [registry] = registers;
  collectDefaultMetrics({ register: registry });
  const durations = new Histogram({
    name: 'millrace_http_request_duration_seconds',
    help: 'Requests by operation and status',
    labelNames: ['operation', 'status'] as const,
    buckets: DURATION_BUCKETS_SECONDS,
    registers,
  });
  const batches = new Histogram({
    name: 'millrace_flow_batch_size',
    help: 'Flows per statement that writes them',
    buckets: BATCH_BUCKETS,
    registers,
  });
  const flows = new Counter({ name: 'millrace_flows_accepted_total', help: 'Flows committed by this process', registers });
  observePools(registers, sources);
  observeTotal(registers, {
    name: 'millrace_dispatch_failures_total',
    help: 'Jobs that could not be sent to Redis and were left to the reconciler',
    count: sources.dispatchFailures,
  });
  observeTotal(registers, {
    name: 'millrace_requests_uncounted_total',
    help: 'Requests that were let in without being counted against the limit of their caller, because Redis did not answer',
    count: sources.uncountedRequests,
  });
  // Finding a labelled child costs more than counting, so the few that exist are kept.
  const children = new Map<string, ReturnType<typeof durations.labels>>();
  const childOf = (operation: string, status: number) => {
    const name = `${operation} ${status}`;
    const child = children.get(name) ?? durations.labels({ operation, status: String(status) });
    children.set(name, child);
    return child;
  };
  return {
    registry,
    requestDone: (exchange) => {
      childOf(exchange.operation, exchange.res.statusCode).observe((performance.now() - exchange.startedAt) / 1_000);
    },
    batchWritten: (flowCount) => {
      batches.observe(flowCount);
    },
    flowsAccepted: (flowCount) => {
      flows.inc(flowCount);
    },
    text: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

/** A total that its owner counts and that is read when the figures are asked for. */
function observeTotal(registers: [Registry], { name, help, count }: { name: string; help: string; count(): number }): void {
  new Gauge({
    name,
    help,
    registers,
    collect() {
      this.set(count());
    },
  });
}

function observePools(registers: [Registry], sources: ApiMetricsSources): void {
  new Gauge({
    name: 'millrace_postgres_connections',
    help: 'Connections per pool; waiting: requests that wait for one',
    labelNames: ['pool', 'state'] as const,
    registers,
    collect() {
      for (const [pool, counts] of Object.entries(sources.pools())) {
        this.set({ pool, state: 'idle' }, counts.idle);
        this.set({ pool, state: 'busy' }, counts.total - counts.idle);
        this.set({ pool, state: 'waiting' }, counts.waiting);
      }
    },
  });
}
