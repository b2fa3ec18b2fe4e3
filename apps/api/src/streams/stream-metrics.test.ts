import { expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { createStreamMetrics } from './stream-metrics.ts';

it('counts what streams report, and reads how many are open when asked', async () => {
  const registry = new Registry();
  const open = { streams: 1, subjects: 1 };
  const observer = createStreamMetrics({ registers: [registry], counts: () => open });
  open.streams = 3;
  observer.onDelivered?.(5);
  observer.onCatchUp?.(2);
  observer.onCut?.('too-slow');
  observer.onRefused?.();
  observer.onReset?.('epoch');
  const text = await registry.metrics();
  for (const line of [
    'millrace_streams_open 3',
    'millrace_stream_subjects 1',
    'millrace_stream_events_delivered_total 5',
    'millrace_stream_catch_ups_total 1',
    'millrace_stream_events_caught_up_total 2',
    'millrace_streams_cut_total{reason="too-slow"} 1',
    'millrace_streams_refused_total 1',
    'millrace_stream_resets_total{reason="epoch"} 1',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
});
