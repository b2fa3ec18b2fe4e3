// The process itself: how it starts, waits, and stops.
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createTestStack, eventually, freePort, startProcess, type TestProcess, type TestStack } from '@millrace/testing';
import { migrate } from '@millrace/store';

const MAIN = 'apps/api/src/main.ts';
let stack: TestStack | undefined;
const processes: TestProcess[] = [];
afterEach(async () => {
  await Promise.all(processes.splice(0).map((started) => started.stop(5_000)));
  await stack?.close();
  stack = undefined;
});

function start(env: Record<string, string>): TestProcess {
  const started = startProcess(MAIN, { env });
  processes.push(started);
  return started;
}

const statusOf = async (port: number, path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;

describe('the API process', () => {
  it('stays up while both servers are away, and says so', async () => {
    stack = await createTestStack();
    const port = await freePort();
    const api = start({
      ...stack.env,
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing',
      REDIS_URL: 'redis://127.0.0.1:1',
      MILLRACE_PORT: String(port),
    });
    await eventually(
      async () => {
        expect(await statusOf(port, '/health/live')).toBe(200);
      },
      { withinMs: 10_000 },
    );
    expect(await statusOf(port, '/health/ready')).toBe(503);
    await api.logged((entry) => entry.msg === 'PostgreSQL is not available, waiting for it');
  }, 20_000);

  it('is not ready until the database was migrated, and then without a restart', async () => {
    stack = await createTestStack();
    await stack.database.database.main.query('DROP SCHEMA millrace CASCADE');
    const api = start(stack.env);
    await api.logged((entry) => entry.msg === 'listening');
    const before = await stack.client.get('/health/ready');
    expect({ status: before.status, detail: before.body['detail'] }).toEqual({
      status: 503,
      detail: expect.stringContaining('run npm run migrate'),
    });
    await api.logged((entry) => String(entry.msg).includes('run "npm run migrate"'));
    await migrate(stack.database.url);
    await eventually(async () => {
      expect((await stack?.client.get('/health/ready'))?.status).toBe(200);
    });
    expect((await stack.client.post('/v1/flows', { flow: 'selftest.noop', input: {} })).status).toBe(202);
  }, 20_000);

  it.each(['apps/api/src/main.ts', 'apps/worker/src/main.ts'])(
    'ends with exit code 78 and one clear line when a folder of flows cannot be read: %s',
    async (main) => {
      stack = await createTestStack();
      const started = startProcess(main, { env: { ...stack.env, MILLRACE_FLOWS: '/nowhere/at/all' } });
      processes.push(started);
      expect(await started.exited).toBe(78);
      expect(started.logs.map((entry) => entry.msg)).toEqual([
        expect.stringContaining('1 fault(s)'),
        expect.stringMatching(/^ {2}MILLRACE_FLOWS: .*\/nowhere\/at\/all/),
      ]);
    },
    20_000,
  );

  it('ends with exit code 1 and one clear line when its port is taken', async () => {
    stack = await createTestStack();
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(stack?.port, '127.0.0.1', resolve));
    const api = start(stack.env);
    expect(await api.exited).toBe(1);
    expect(api.logs.map((entry) => String(entry['reason']))).toContainEqual(
      expect.stringContaining(`port ${stack.port} on 127.0.0.1 is in use`),
    );
    await new Promise((resolve) => squatter.close(resolve));
  }, 20_000);

  it('ends with exit code 0 on SIGTERM, after telling its streams goodbye', async () => {
    stack = await createTestStack();
    const api = await stack.startApi();
    const id = String((await stack.client.post('/v1/flows', { flow: 'selftest.noop', input: {} })).body['id']);
    const names: string[] = [];
    const watching = (async () => {
      for await (const message of stack?.client.events(`/v1/flows/${id}/events`) ?? []) names.push(message.event ?? 'message');
    })();
    await eventually(() => {
      expect(names).toContain('flow.queued');
    });
    api.signal('SIGTERM');
    expect(await api.exited).toBe(0);
    await watching;
    expect(names.at(-1)).toBe('bye');
  }, 20_000);
});
