// Looks for a Redis or Valkey server program on this machine and checks that it runs and is new enough.
import { runOnce } from '../process/run-once.ts';
import { parseRedisVersion } from './redis-config.ts';

export type RedisProgram = { command: string; argv0: string | undefined; title: string };

/** BullMQ needs 6.2. */
const oldest = { major: 6, minor: 2 };

/**
 * The last two are the same programs under the name of their file checker (they act by the name they are called by). Debian ships them in the
 * packages redis-tools and valkey-tools, which, unlike redis-server, start no service of their own.
 */
const candidates = [
  { command: 'redis-server', argv0: undefined },
  { command: 'valkey-server', argv0: undefined },
  { command: 'redis-check-rdb', argv0: 'redis-server' },
  { command: 'valkey-check-rdb', argv0: 'valkey-server' },
];

/** The first usable one on PATH; `tooOld` names one that was found but cannot be used. */
export async function findRedisServer(env: NodeJS.ProcessEnv): Promise<{ program?: RedisProgram; tooOld?: string }> {
  let tooOld: string | undefined;
  for (const { command, argv0 } of candidates) {
    const result = await runOnce(command, ['--version'], { env, timeoutMs: 10_000, ...(argv0 === undefined ? {} : { argv0 }) });
    const version = result.code === 0 ? parseRedisVersion(result.output) : undefined;
    if (version === undefined) continue;
    const title = `${version.product} ${version.version}`;
    if (version.major > oldest.major || (version.major === oldest.major && version.minor >= oldest.minor))
      return { program: { command, argv0, title } };
    tooOld = title;
  }
  return tooOld === undefined ? {} : { tooOld };
}
