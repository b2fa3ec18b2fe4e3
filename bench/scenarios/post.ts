// Single POST /v1/flows, durable in PostgreSQL when it is answered, beside Express with queue.add, which is not.
import autocannon from 'autocannon';
import { ADMIN_KEY, createTestStack, freePort } from '@millrace/testing';
import { measurement, type Measurement } from '../measure.ts';
import { runPeer } from '../run-peer.ts';
import type { BenchOptions, Scenario } from '../scenario.ts';

const CONNECTIONS = 50;
const GOAL_RATIO = 1;

export const post: Scenario = { name: 'post', about: 'single POST /v1/flows beside Express 5 + queue.add', run };

async function run(options: BenchOptions): Promise<Measurement[]> {
  const seconds = options.quick ? 2 : 10;
  const before = options.peers ? await expressRate(options, seconds) : null;
  const ours = await ourRate(options, seconds);
  const after = options.peers ? await expressRate(options, seconds) : null;
  const peer = before === null || after === null ? null : (before + after) / 2;
  return [
    measurement({
      scenario: 'post',
      metric: 'POST /v1/flows, 50 connections',
      unit: 'requests/s',
      ours,
      peer,
      peerName: 'Express + queue.add',
      goal: GOAL_RATIO,
    }),
  ];
}

async function ourRate(options: BenchOptions, seconds: number): Promise<number> {
  const stack = await createTestStack({ servers: options });
  try {
    await stack.startApi();
    const rate = await load(`${stack.client.baseUrl}/v1/flows`, {
      seconds,
      body: '{"flow":"selftest.noop","input":{}}',
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    options.say(`ours: ${Math.round(rate)} requests/s`);
    return rate;
  } finally {
    await stack.close();
  }
}

async function expressRate(options: BenchOptions, seconds: number): Promise<number> {
  const port = await freePort();
  const peer = await runPeer('express-queue.ts', [String(port)], { REDIS_URL: options.redisUrl });
  try {
    const rate = await load(`http://127.0.0.1:${port}/jobs`, { seconds, body: '{"flow":"selftest.noop","input":{}}', headers: {} });
    options.say(`Express + queue.add: ${Math.round(rate)} requests/s`);
    return rate;
  } finally {
    await peer.stop();
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
