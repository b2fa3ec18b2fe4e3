// What a worker counts, for Prometheus.
import { createServer, type Server } from 'node:http';
import type { Service } from '@millrace/process';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type WorkerMetrics = {
  registry: Registry;
  phaseEnded(end: { flow: string; outcome: string; committed: boolean }): void;
  passEnded(pass: { loop: string; durationMs: number; failed: boolean }): void;
  scheduleFired(fire: { outcome: string; count: number }): void;
  flowsDeleted(deleted: { count: number; archived: number }): void;
  /** Registers a value that is read at every scrape. */
  gauge(name: string, help: string, read: () => number): void;
};

export function createWorkerMetrics(): WorkerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const deleted = new Counter({
    name: 'millrace_flows_deleted_total',
    help: 'Flows that were deleted because they are kept no longer, without those that went with their month.',
    labelNames: ['archived'],
    registers: [registry],
  });
  const phases = new Counter({
    name: 'millrace_phase_attempts_total',
    help: 'Attempts at phases by how they ended.',
    labelNames: ['flow', 'outcome', 'committed'],
    registers: [registry],
  });
  const passes = new Histogram({
    name: 'millrace_loop_pass_seconds',
    help: 'Passes of background loops.',
    labelNames: ['loop', 'failed'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10],
    registers: [registry],
  });
  const fires = new Counter({
    name: 'millrace_schedule_fires_total',
    help: 'Times of schedules by what became of them.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  return {
    registry,
    phaseEnded: ({ flow, outcome, committed }) => {
      phases.inc({ flow, outcome, committed: String(committed) });
    },
    passEnded: ({ loop, durationMs, failed }) => {
      passes.observe({ loop, failed: String(failed) }, durationMs / 1_000);
    },
    scheduleFired: ({ outcome, count }) => {
      fires.inc({ outcome }, count);
    },
    flowsDeleted: ({ count, archived }) => {
      deleted.inc({ archived: 'true' }, archived);
      deleted.inc({ archived: 'false' }, count - archived);
    },
    gauge: (name, help, read) => {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    },
  };
}

/** Serves /metrics and /health/live on loopback, for those who scrape workers. */
export function createMetricsServer({ metrics, port, host }: { metrics: WorkerMetrics; port: number; host: string }): Service {
  let server: Server | undefined;
  return {
    name: 'metrics-server',
    start: () =>
      new Promise((resolve, reject) => {
        server = createServer((request, response) => {
          if (request.url === '/health/live') response.end('{"status":"ok"}');
          else if (request.url !== '/metrics') response.writeHead(404).end();
          else void metrics.registry.metrics().then((text) => response.setHeader('Content-Type', metrics.registry.contentType).end(text));
        });
        server.once('error', reject);
        server.listen(port, host, resolve);
      }),
    stop: async () => {
      server?.closeAllConnections();
      await new Promise<void>((resolve) => {
        if (server === undefined) resolve();
        else
          server.close(() => {
            resolve();
          });
      });
    },
  };
}
