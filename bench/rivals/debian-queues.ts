// Celery and Sidekiq, as Debian packages them, on the same Redis: no-op jobs that are in the queue already. Left out where they are not installed.
import { spawnSync } from 'node:child_process';
import { Redis } from 'ioredis';
import { peerAnswer, PEERS, startPeer, type PeerProcess } from '../run-peer.ts';
import { drainRate } from '../work-rate.ts';
import type { CreateRival, RivalLoad } from './rival.ts';

// Debian's own, whatever else is on PATH: that is where its packages are.
const PYTHON = '/usr/bin/python3';
const RUBY = '/usr/bin/ruby';
const SIDEKIQ = '/usr/bin/sidekiq';

const CELERY_TASKS = { full: 10_000, quick: 1_000 };
const SIDEKIQ_JOBS = { full: 60_000, quick: 6_000 };
/** Pool, its size, and how many messages each of it may fetch ahead: the default, and the larger number that is advised for short tasks. */
const CELERY_SETTINGS = [
  ['prefork', 2, 4],
  ['prefork', 2, 64],
  ['prefork', 4, 64],
  ['threads', 20, 64],
] as const;
const SIDEKIQ_THREADS = [10, 20, 30];
const CELERY_QUIET = ['--without-gossip', '--without-mingle', '--without-heartbeat', '--loglevel', 'ERROR'];

export const celery: CreateRival = ({ redisUrl }) => ({
  name: 'Celery',
  goal: 8,
  // Its pool is one of processes, so one worker may use both cores.
  processesMax: 1,
  missing: () => missing(PYTHON, ['-c', 'import celery, redis'], 'python3-celery and python3-redis'),
  settings: CELERY_SETTINGS.map(([pool, size, prefetch]) => ({
    label: `${pool} ${size}, prefetch ${prefetch}`,
    rate: (load) => {
      const queue = queueName('celery');
      const env = {
        REDIS_URL: redisUrl,
        BENCH_QUEUE: queue,
        BENCH_PREFETCH: String(prefetch),
        PYTHONPATH: PEERS,
        PYTHONDONTWRITEBYTECODE: '1',
        C_FORCE_ROOT: '1',
      };
      const options = ['--queues', queue, '--pool', pool, '--concurrency', size, ...CELERY_QUIET];
      return workedOff({
        ...load,
        jobCount: load.quick ? CELERY_TASKS.quick : CELERY_TASKS.full,
        redisUrl,
        fill: (jobCount) => peerAnswer({ program: PYTHON, args: [`${PEERS}celery_noop.py`, jobCount], env }),
        start: () => startPeer({ program: PYTHON, args: ['-m', 'celery', '-A', 'celery_noop', 'worker', ...options], env }),
        remaining: async (redis) => (await redis.llen(queue)) + (await redis.hlen(`${queue}:unacked`)),
        keys: [queue, `_kombu.binding.${queue}`, '_kombu.binding.celery.pidbox', `${queue}:unacked`, `${queue}:unacked_index`],
      });
    },
  })),
});

export const sidekiq: CreateRival = ({ redisUrl }) => ({
  name: 'Sidekiq',
  goal: 0.8,
  processesMax: 3,
  missing: () => missing(RUBY, ['-e', "require 'sidekiq'"], 'ruby-sidekiq'),
  settings: SIDEKIQ_THREADS.map((threads) => ({
    label: `${threads} threads`,
    rate: (load) => {
      const queue = queueName('sidekiq');
      const job = `${PEERS}sidekiq_noop.rb`;
      const env = { REDIS_URL: redisUrl, BENCH_QUEUE: queue };
      const options = ['--require', job, '--queue', queue, '--concurrency', threads, '--environment', 'production'];
      return workedOff({
        ...load,
        jobCount: load.quick ? SIDEKIQ_JOBS.quick : SIDEKIQ_JOBS.full,
        redisUrl,
        fill: (jobCount) => peerAnswer({ program: RUBY, args: [job, jobCount], env }),
        start: () => startPeer({ program: RUBY, args: [SIDEKIQ, ...options], env }),
        remaining: (redis) => redis.llen(`queue:${queue}`),
        keys: [`queue:${queue}`, 'queues', 'processes', 'stat:processed', 'stat:failed'],
      });
    },
  })),
});

type Work = RivalLoad & {
  jobCount: number;
  redisUrl: string;
  fill(jobCount: number): Promise<unknown>;
  start(): PeerProcess;
  /** What waits, or was fetched and not yet begun. */
  remaining(redis: Redis): Promise<number>;
  /** To be deleted afterwards. */
  keys: readonly string[];
};

async function workedOff({ processes, jobCount, redisUrl, fill, start, remaining, keys }: Work): Promise<number> {
  const redis = new Redis(redisUrl);
  const peers: PeerProcess[] = [];
  try {
    await fill(jobCount);
    for (let index = 0; index < processes; index += 1) peers.push(start());
    return await drainRate(() => remaining(redis), { jobCount });
  } finally {
    await Promise.all(peers.map((peer) => peer.stop()));
    await redis.del(...keys);
    redis.disconnect();
  }
}

function missing(program: string, args: readonly string[], packages: string): Promise<string | undefined> {
  const { status } = spawnSync(program, args, { stdio: 'ignore' });
  return Promise.resolve(status === 0 ? undefined : `Debian's ${packages} are not installed`);
}

function queueName(peer: string): string {
  return `bench-${peer}-${process.pid}`;
}
