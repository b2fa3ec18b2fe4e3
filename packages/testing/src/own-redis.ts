// A Redis of a test's own, which it may kill and start again. Keeps nothing on disk.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { eventually } from './eventually.ts';
import { freePort } from './start-stack.ts';

export type OwnRedis = {
  readonly url: string;
  /** Ends it at once, as kill -9 does; settles when it is gone. */
  kill(): Promise<void>;
  /** Starts it again, empty, on the same port; settles when it accepts connections. */
  start(): Promise<void>;
  /** Holds it still: connections stay open and nothing is answered. */
  freeze(): void;
  thaw(): void;
};

const PROGRAMS = ['redis-server', 'valkey-server'];

/** @throws Error when no Redis program is on PATH. */
export async function startOwnRedis(): Promise<OwnRedis> {
  const port = await freePort();
  let running: ChildProcess | undefined;
  const start = async () => {
    running = await launch(port);
    await eventually(() => accepts(port), { withinMs: 5_000 });
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    kill: async () => {
      const child = running;
      running = undefined;
      if (child === undefined) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    freeze: () => {
      running?.kill('SIGSTOP');
    },
    thaw: () => {
      running?.kill('SIGCONT');
    },
  };
}

async function launch(port: number): Promise<ChildProcess> {
  for (const program of PROGRAMS) {
    const child = spawn(program, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
    const spawned = await Promise.race([once(child, 'spawn').then(() => true), once(child, 'error').then(() => false)]).catch(() => false);
    if (spawned) return child;
  }
  throw new Error(`none of ${PROGRAMS.join(', ')} is on PATH`);
}

function accepts(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
