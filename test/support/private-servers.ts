// PostgreSQL and Redis for one test file that is going to kill them. Their supervisor starts them again on the same ports, as a service
// manager would.
import { readdirSync, readFileSync } from 'node:fs';
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
  /** Holds PostgreSQL still, with all its sessions: connections stay open and nothing is answered, until the answer is called. */
  freezePostgres(): Promise<() => void>;
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
    freezePostgres: async () => {
      const postmaster = await postmasterPid(servers.databaseUrl);
      process.kill(postmaster, 'SIGSTOP');
      // From now on there are no new ones.
      const frozen = [postmaster, ...childrenOf(postmaster)];
      const signalAll = (name: NodeJS.Signals) => {
        for (const pid of frozen) signalIfThere(pid, name);
      };
      signalAll('SIGSTOP');
      return () => signalAll('SIGCONT');
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

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statOf(name).split(') ')[1]?.split(' ')[1] === String(parent))
    .map(Number);
}

function statOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return '';
  }
}

function signalIfThere(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // A session that has ended meanwhile.
  }
}
