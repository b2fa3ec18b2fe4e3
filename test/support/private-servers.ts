// PostgreSQL and Redis for one test file that is going to kill them. Their supervisor starts them again on the same ports, as a service
// manager would.
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { createDatabase } from '@millrace/store';
import { startThrowawayServers } from '../../scripts/stack/throwaway-servers.ts';
import { createStepReporter } from '../../scripts/terminal/step-reporter.ts';

export type PrivateServers = {
  databaseUrl: string;
  redisUrl: string;
  flushRedis(): Promise<void>;
  /** kill -9; its append-only file brings back what it had. */
  killRedis(): Promise<void>;
  /** Ends PostgreSQL as its administrator would in a hurry: sessions are cut, the data is consistent. */
  restartPostgres(): Promise<void>;
  stop(): Promise<void>;
};

const HOME = fileURLToPath(new URL('../../.millrace', import.meta.url));

export async function startPrivateServers(): Promise<PrivateServers> {
  const servers = await startThrowawayServers({
    home: HOME,
    given: { databaseUrl: undefined, redisUrl: undefined },
    env: process.env,
    reporter: createStepReporter({ out: { write: () => true }, env: {} }),
    signal: new AbortController().signal,
    onKillable: () => undefined,
  });
  return {
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    flushRedis: () =>
      withRedis(servers.redisUrl, async (redis) => {
        await redis.flushall();
      }),
    killRedis: async () => {
      process.kill(await withRedis(servers.redisUrl, redisPid), 'SIGKILL');
    },
    restartPostgres: async () => {
      process.kill(await postmasterPid(servers.databaseUrl), 'SIGINT');
    },
    stop: () => servers.stop(),
  };
}

async function withRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

async function redisPid(redis: Redis): Promise<number> {
  const pid = /process_id:(\d+)/.exec(await redis.info('server'))?.[1];
  if (pid === undefined) throw new Error('Redis did not tell its process id');
  return Number(pid);
}

async function postmasterPid(url: string): Promise<number> {
  const database = createDatabase({ url, name: 'test', onError: () => undefined });
  try {
    const result = await database.main.query<{ file: string }>("SELECT pg_read_file('postmaster.pid') AS file");
    return Number(result.rows[0]?.file.split('\n')[0]);
  } finally {
    await database.close();
  }
}
