// The embedded Redis: finds a server program, or gets one, and starts it on a loopback port with its data in the state folder.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Step } from '../../terminal/step-reporter.ts';
import { createSupervisedProcess, type ProcessSpec, type SupervisedProcess } from '../process/supervised-process.ts';
import type { ServerDeps } from '../server-deps.ts';
import { fileFault, StackFault } from '../stack-fault.ts';
import { keepPassword } from '../state/secrets.ts';
import { keepPort } from '../state/server-ports.ts';
import { writeStateFile } from '../state/state-folder.ts';
import { findRedisServer, type RedisProgram } from './find-redis-server.ts';
import { installRedis } from './install-redis.ts';
import { redisConfigText } from './redis-config.ts';
import {
  containerArguments,
  containerFolder,
  containerPort,
  type ContainerEngine,
  findContainerEngine,
  redisImage,
} from './redis-container.ts';
import { pingRedis } from './redis-ping.ts';

type Source = { kind: 'program'; program: RedisProgram } | { kind: 'container'; engine: ContainerEngine };

/** Loading a large append-only file takes its time, as does pulling an image. */
const readyWithinMs = 120_000;

/** Starts Redis and returns its URL. Throws a StackFault that says what to type if there is no way to get one. */
export async function startRedis(deps: ServerDeps): Promise<string> {
  const step = deps.reporter.step('redis');
  try {
    const source = await findSource(deps, step);
    const port = await keepPort(deps.folder, 'redis');
    const password = keepPassword(deps.folder.redisPassword);
    const server = createServer(deps, { source, port, password });
    deps.stopList.add(server);
    if (!(await server.start({ isReady: () => pingRedis({ port, password }), withinMs: readyWithinMs, signal: deps.signal })))
      throw startFault(server, deps.folder.redis);
    step.done(
      `started: ${source.kind === 'program' ? source.program.title : `${redisImage} by ${source.engine}`} on 127.0.0.1:${port}, data in ${deps.folder.redis}`,
    );
    return `redis://:${password}@127.0.0.1:${port}/0`;
  } catch (error) {
    step.fail();
    throw error;
  }
}

async function findSource(deps: ServerDeps, step: Step): Promise<Source> {
  const found = await findRedisServer(deps.env);
  if (found.program !== undefined) return { kind: 'program', program: found.program };
  const installed = await installRedis({
    env: deps.env,
    signal: deps.signal,
    onStart: (what) => step.update(`no server program found, running ${what}`),
  });
  deps.signal.throwIfAborted();
  const program = installed?.ok === true ? (await findRedisServer(deps.env)).program : undefined;
  if (installed !== undefined && program !== undefined) {
    deps.reporter.line('redis', installed.what);
    return { kind: 'program', program };
  }
  const engine = await findContainerEngine(deps.env);
  if (engine !== undefined) {
    step.update(`no server program found, running ${redisImage} by ${engine}`);
    return { kind: 'container', engine };
  }
  throw missingFault(found.tooOld, installed?.output);
}

function missingFault(tooOld: string | undefined, installOutput: string | undefined): StackFault {
  const tried = installOutput === undefined ? [] : [`The package manager said: ${installOutput.trim().split('\n').at(-1) ?? ''}`];
  const message =
    tooOld === undefined
      ? 'No Redis was found on this machine, and none could be installed without asking you.'
      : `${tooOld} is too old: BullMQ needs Redis 6.2 or newer.`;
  return new StackFault('unavailable', message, {
    advice: [
      ...tried,
      'Type one of these, then the same command again:',
      '  sudo apt-get install -y redis-server      (Debian, Ubuntu)',
      '  sudo dnf install -y valkey                (Fedora, RHEL)',
      '  brew install redis                        (macOS)',
      'or name a Redis you have: REDIS_URL=redis://host:6379',
    ],
  });
}

function createServer(deps: ServerDeps, { source, port, password }: { source: Source; port: number; password: string }): SupervisedProcess {
  const dir = deps.folder.redis;
  const configPath = join(dir, 'redis.conf');
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileFault(error, dir);
  }
  const isProgram = source.kind === 'program';
  const place = isProgram ? { bind: '127.0.0.1', port, dir } : { bind: '0.0.0.0', port: containerPort, dir: containerFolder };
  writeStateFile(configPath, redisConfigText({ ...place, password }));
  const command: Pick<ProcessSpec, 'command' | 'args' | 'argv0'> = isProgram
    ? { command: source.program.command, args: [configPath], argv0: source.program.argv0 }
    : { command: source.engine, args: containerArguments({ dir, port, name: `millrace-redis-${port}` }) };
  return createSupervisedProcess(
    { name: 'redis', ...command, env: deps.env, cwd: dir, stopSignal: 'SIGTERM', killSignal: 'SIGKILL', stopWithinMs: 25_000 },
    deps,
  );
}

function startFault(server: SupervisedProcess, dir: string): StackFault {
  const lines = server.lastLines(20);
  const worst =
    lines.filter((line) => /#|[Ff]atal|[Bb]ad|[Ee]rror|[Pp]ermission/.test(line)).at(-1) ?? lines.at(-1) ?? 'it printed nothing';
  return new StackFault('corruptState', `Redis did not start: ${worst}`, {
    advice: [
      `Its log: ${server.logPath}`,
      `Nothing was changed. Redis holds no work that PostgreSQL does not hold too: to start it from empty, move its data away: mv ${dir} ${dir}.old`,
    ],
  });
}
