// The figures of streams, for a registry of the process.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { StreamObserver } from './feed/feed-state.ts';

type StreamMetricsOptions = {
  registers: Registry[];
  /** Read when the figures are asked for. */
  counts(): { streams: number; subjects: number };
};

export function createStreamMetrics({ registers, counts }: StreamMetricsOptions): StreamObserver {
  observeCounts(registers, counts);
  const delivered = new Counter({ name: 'millrace_stream_events_delivered_total', help: 'Events written to clients', registers });
  const fetched = new Counter({
    name: 'millrace_stream_events_caught_up_total',
    help: 'Events that the doorbell did not bring and PostgreSQL did',
    registers,
  });
  const catchUps = new Counter({
    name: 'millrace_stream_catch_ups_total',
    help: 'How often a subject was read up from PostgreSQL',
    registers,
  });
  const cut = new Counter({
    name: 'millrace_streams_cut_total',
    help: 'Streams dropped because the client did not take its bytes',
    labelNames: ['reason'] as const,
    registers,
  });
  const refused = new Counter({ name: 'millrace_streams_refused_total', help: 'Streams refused because too many were open', registers });
  const resets = new Counter({
    name: 'millrace_stream_resets_total',
    help: 'Streams that could not go on from their cursor',
    labelNames: ['reason'] as const,
    registers,
  });
  return {
    onDelivered: (count) => {
      delivered.inc(count);
    },
    onCatchUp: (count) => {
      catchUps.inc();
      fetched.inc(count);
    },
    onCut: (reason) => {
      cut.inc({ reason });
    },
    onRefused: () => {
      refused.inc();
    },
    onReset: (reason) => {
      resets.inc({ reason });
    },
  };
}

function observeCounts(registers: Registry[], counts: StreamMetricsOptions['counts']): void {
  new Gauge({
    name: 'millrace_streams_open',
    help: 'Open streams of this process',
    registers,
    collect() {
      this.set(counts().streams);
    },
  });
  new Gauge({
    name: 'millrace_stream_subjects',
    help: 'Flows and imports that are watched in this process',
    registers,
    collect() {
      this.set(counts().subjects);
    },
  });
}
