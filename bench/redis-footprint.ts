// How much of Redis is in use: the keys below a prefix, and the server's own account of all its data.
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { percentile } from './percentile.ts';

export type RedisFootprint = { keys: number; keyBytes: number; datasetBytes: number };

const SCAN_COUNT = 1_000;
const INFO_SAMPLES = 5;
const INFO_EVERY_MS = 200;

export async function redisFootprint({ url, prefix }: { url: string; prefix: string }): Promise<RedisFootprint> {
  const redis = new Redis(url);
  try {
    const datasetBytes = await medianDataset(redis);
    return { ...(await keySizes(redis, prefix)), datasetBytes };
  } finally {
    redis.disconnect();
  }
}

async function keySizes(redis: Redis, prefix: string): Promise<Pick<RedisFootprint, 'keys' | 'keyBytes'>> {
  const sizes = { keys: 0, keyBytes: 0 };
  const pattern = `${prefix.replaceAll(/[[\]*?\\]/g, String.raw`\$&`)}*`;
  for await (const page of redis.scanStream({ match: pattern, count: SCAN_COUNT })) {
    const pipeline = redis.pipeline();
    for (const key of page as string[]) pipeline.memory('USAGE', key, 'SAMPLES', 0);
    for (const [, bytes] of (await pipeline.exec()) ?? []) {
      sizes.keys += 1;
      sizes.keyBytes += Number(bytes);
    }
  }
  return sizes;
}

// Buffers that are being grown or given back show up in single readings.
async function medianDataset(redis: Redis): Promise<number> {
  const readings: number[] = [];
  for (let sample = 0; sample < INFO_SAMPLES; sample += 1) {
    readings.push(Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1]));
    await delay(INFO_EVERY_MS);
  }
  return percentile(readings, 0.5);
}
