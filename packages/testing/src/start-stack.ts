// A whole Millrace of real processes on the servers of the test run: its own database, its own Redis prefix, its own ports.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from './eventually.ts';
import { createRestClient, type RestClient } from './rest-client.ts';
import { startProcess, type TestProcess } from './start-process.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

export const ADMIN_KEY = 'mr_test_admin_key_0123456789abcdef';

export type TestStack = {
  readonly database: TestDatabase;
  readonly client: RestClient;
  readonly env: Record<string, string>;
  /** The API's port; it stays the same over restarts. */
  readonly port: number;
  startApi(extraEnv?: Record<string, string>): Promise<TestProcess>;
  startWorker(extraEnv?: Record<string, string>): Promise<TestProcess>;
  /** Stops every process that was started here, drops the database and removes the files. */
  close(): Promise<void>;
};

/** `servers`: others than DATABASE_URL and REDIS_URL name. `guarded`: see createTestDatabase. */
export type StackOptions = { servers?: { databaseUrl: string; redisUrl: string }; env?: Record<string, string>; guarded?: boolean };

const READY_WITHIN_MS = 20_000;
let stackCount = 0;

/** Makes the ground for processes; starts none. */
export async function createTestStack(options: StackOptions = {}): Promise<TestStack> {
  const database = await createTestDatabase(options.servers?.databaseUrl, options);
  const home = await mkdtemp(path.join(tmpdir(), 'millrace-test-'));
  const port = await freePort();
  stackCount += 1;
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: options.servers?.redisUrl ?? required('REDIS_URL'),
    MILLRACE_REDIS_PREFIX: `{test-${process.pid}-${stackCount}}`,
    MILLRACE_ADMIN_KEY: ADMIN_KEY,
    MILLRACE_HOME: home,
    MILLRACE_SELFTEST: '1',
    MILLRACE_PORT: String(port),
    ...options.env,
  };
  const client = createRestClient({ baseUrl: `http://127.0.0.1:${port}`, key: ADMIN_KEY });
  const processes: TestProcess[] = [];
  const start = (mainFile: string, extraEnv: Record<string, string>) => {
    const started = startProcess(mainFile, { env: { ...env, ...extraEnv } });
    processes.push(started);
    return started;
  };
  return {
    database,
    client,
    env,
    port,
    startApi: async (extraEnv = {}) => {
      const api = start('apps/api/src/main.ts', extraEnv);
      const url = `http://127.0.0.1:${extraEnv['MILLRACE_PORT'] ?? port}/health/ready`;
      await Promise.race([
        eventually(
          async () => {
            const response = await fetch(url);
            if (response.status !== 200) throw new Error(`not ready: ${response.status}`);
          },
          { withinMs: READY_WITHIN_MS },
        ),
        api.exited.then((code) => Promise.reject(new Error(`the API ended with ${code}: ${JSON.stringify(api.logs.slice(-5))}`))),
      ]);
      return api;
    },
    startWorker: async (extraEnv = {}) => {
      const worker = start('apps/worker/src/main.ts', extraEnv);
      await worker.logged((entry) => entry.msg === 'worker is ready');
      return worker;
    },
    close: async () => {
      await Promise.all(processes.map((started) => started.stop(10_000)));
      await database.drop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run the tests with "npm test"`);
  return value;
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) =>
    server.close(() => {
      resolve();
    }),
  );
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}
