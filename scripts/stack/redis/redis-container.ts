// The last resort for Redis: a container, run in the foreground by docker or podman so that it is stopped like any other child.
import { runOnce } from '../process/run-once.ts';

export type ContainerEngine = 'docker' | 'podman';

export const redisImage = 'redis:7.4-bookworm';

/** An engine whose daemon answers. */
export async function findContainerEngine(env: NodeJS.ProcessEnv): Promise<ContainerEngine | undefined> {
  for (const engine of ['docker', 'podman'] as const) {
    const asked = await runOnce(engine, ['info'], { env, timeoutMs: 10_000 });
    if (asked.code === 0) return engine;
  }
  return undefined;
}

/** Where the container sees the state folder's Redis folder. */
export const containerFolder = '/data';
export const containerPort = 6379;

/** Arguments of `docker run`: attached, removed at its end, reachable on loopback only, its files owned by the user we are. */
export function containerArguments({ dir, port, name }: { dir: string; port: number; name: string }): string[] {
  const user = process.getuid === undefined ? [] : ['--user', `${process.getuid()}:${process.getgid?.() ?? 0}`];
  return [
    'run',
    '--rm',
    '--name',
    name,
    '--publish',
    `127.0.0.1:${port}:${containerPort}`,
    '--volume',
    `${dir}:${containerFolder}`,
    ...user,
    redisImage,
    'redis-server',
    `${containerFolder}/redis.conf`,
  ];
}
