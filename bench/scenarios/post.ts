// Single POST /v1/flows, durable in PostgreSQL when it is answered, beside Express with queue.add, which is not.
import autocannon from 'autocannon';
import { ADMIN_KEY, freePort } from '@millrace/testing';
import { besidePeer, type Measurement } from '../measure.ts';
import { withOurStack } from '../our-stack.ts';
import { mean } from '../percentile.ts';
import { startReady, type PeerProcess } from '../run-peer.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const CONNECTIONS = 50;
const SECONDS = { full: 10, quick: 2 };
const GOAL_RATIO = 1;

export const post: Scenario = { name: 'post', about: 'single POST /v1/flows beside Express 5 + queue.add', run };

async function run(options: BenchOptions): Promise<Measurement[]> {
  const seconds = options.quick ? SECONDS.quick : SECONDS.full;
  const before = options.peers ? await expressRate(options, seconds) : null;
  const ours = await ourRate(options, seconds);
  const after = options.peers ? await expressRate(options, seconds) : null;
  return [
    besidePeer({
      scenario: 'post',
      metric: 'POST /v1/flows, 50 connections',
      unit: 'requests/s',
      ours,
      peer: before === null || after === null ? null : mean([before, after]),
      peerName: 'Express + queue.add',
      goal: GOAL_RATIO,
    }),
  ];
}

async function ourRate(options: BenchOptions, seconds: number): Promise<number> {
  return withOurStack(options, { workers: 0 }, async (stack) => {
    const rate = await load(`${stack.client.baseUrl}/v1/flows`, {
      seconds,
      body: '{"flow":"selftest.noop","input":{}}',
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    options.say(`ours: ${Math.round(rate)} requests/s`);
    return rate;
  });
}

async function expressRate(options: BenchOptions, seconds: number): Promise<number> {
  const port = await freePort();
  const peers: PeerProcess[] = [];
  try {
    await startReady({ file: 'express-queue.ts', args: [port], env: { REDIS_URL: options.redisUrl } }, peers);
    const rate = await load(`http://127.0.0.1:${port}/jobs`, { seconds, body: '{"flow":"selftest.noop","input":{}}', headers: {} });
    options.say(`Express + queue.add: ${Math.round(rate)} requests/s`);
    return rate;
  } finally {
    await Promise.all(peers.map((peer) => peer.stop()));
  }
}

async function load(url: string, request: { seconds: number; body: string; headers: Record<string, string> }): Promise<number> {
  const common = {
    url,
    method: 'POST' as const,
    body: request.body,
    headers: { 'content-type': 'application/json', ...request.headers },
    connections: CONNECTIONS,
  };
  await autocannon({ ...common, duration: 1 });
  const result = await autocannon({ ...common, duration: request.seconds });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${url}: ${result.non2xx} refused, ${result.errors} failed`);
  return result['2xx'] / result.duration;
}
