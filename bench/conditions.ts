// On what the figures were taken: machine, programs, and how durable the servers are. Printed with them, since a figure means little without.
import { cpus, totalmem } from 'node:os';
import { createDatabase } from '@millrace/store';
import { Redis } from 'ioredis';

/** Lines for people. One begins with NOT COMPARABLE when a server is less durable than the goals assume. */
export async function describeConditions({ databaseUrl, redisUrl }: { databaseUrl: string; redisUrl: string }): Promise<string[]> {
  const [redis, postgres] = [await redisConditions(redisUrl), await postgresConditions(databaseUrl)];
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 1024 ** 3)} GiB, Node ${process.version}`;
  return [
    `${new Date().toISOString()}, ${machine}`,
    `Redis ${redis.version}: appendonly ${redis.appendOnly}, appendfsync ${redis.appendSync}`,
    `PostgreSQL ${postgres.version}: fsync ${postgres.fsync}, synchronous_commit ${postgres.commit}`,
    ...(redis.appendOnly === 'yes' && redis.appendSync === 'everysec' ? [] : ['NOT COMPARABLE: Redis is to run with appendfsync everysec']),
    ...(postgres.fsync === 'on' && postgres.commit === 'on' ? [] : ['NOT COMPARABLE: PostgreSQL does not sync its commits']),
  ];
}

async function redisConditions(url: string) {
  const redis = new Redis(url);
  try {
    const setting = async (name: string) => ((await redis.config('GET', name)) as string[])[1];
    const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1];
    return { version, appendOnly: await setting('appendonly'), appendSync: await setting('appendfsync') };
  } finally {
    redis.disconnect();
  }
}

async function postgresConditions(url: string) {
  const database = createDatabase({ url, name: 'bench', onError: () => undefined });
  try {
    const result = await database.main.query<{ version: string; fsync: string; commit: string }>(
      `SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit`,
    );
    return result.rows[0] ?? { version: 'unknown', fsync: 'unknown', commit: 'unknown' };
  } finally {
    await database.close();
  }
}
