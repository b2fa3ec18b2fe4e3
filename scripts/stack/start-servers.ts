// PostgreSQL and Redis of one state folder: external ones where their URLs are given, embedded ones otherwise, started side by side.
import type { StepReporter } from '../terminal/step-reporter.ts';
import { startPostgres } from './postgres/start-postgres.ts';
import type { ServerDeps } from './server-deps.ts';
import { placeOf } from './stack-settings.ts';
import { startRedis } from './redis/start-redis.ts';

export type ServerUrls = { databaseUrl: string; redisUrl: string };

/**
 * Resolves when both answer (external ones are only named: the services wait for them by themselves).
 * If one fails, the other is waited for before the fault is thrown, so that the caller's stop list is complete.
 */
export async function startServers(given: { [Name in keyof ServerUrls]: string | undefined }, deps: ServerDeps): Promise<ServerUrls> {
  const [database, redis] = await Promise.allSettled([
    given.databaseUrl === undefined ? startPostgres(deps) : external(deps.reporter, { name: 'postgres', url: given.databaseUrl }),
    given.redisUrl === undefined ? startRedis(deps) : external(deps.reporter, { name: 'redis', url: given.redisUrl }),
  ]);
  if (database.status === 'rejected') throw database.reason;
  if (redis.status === 'rejected') throw redis.reason;
  return { databaseUrl: database.value, redisUrl: redis.value };
}

function external(reporter: StepReporter, { name, url }: { name: string; url: string }): string {
  reporter.line(name, `using the server at ${placeOf(url)}`);
  return url;
}
