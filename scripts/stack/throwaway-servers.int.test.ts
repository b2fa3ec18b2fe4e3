// Real PostgreSQL and Redis: they come back when they die, go when they are stopped, and do not outlive a killed supervisor for long.
import { afterEach, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createStepReporter } from '../terminal/step-reporter.ts';
import { waitUntil } from './process/wait-until.ts';
import { pingRedis } from './redis/redis-ping.ts';
import { identify, isRunning, type ProcessIdentity } from './state/process-identity.ts';
import { leftoverRuns } from './state/run-records.ts';
import { stateFolderAt } from './state/state-folder.ts';
import { startThrowawayServers, type ThrowawayServers } from './throwaway-servers.ts';

// Below the state folder of the test run, which looks there for what was left when it is interrupted.
const home = newHome(stateFolderAt(process.env['MILLRACE_HOME'] ?? mkdtempSync(join(tmpdir(), 'millrace-int-'))).throwaway);
const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
  rmSync(home, { recursive: true, force: true });
});

function newHome(parent: string): string {
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, `${process.pid}-`));
}

async function start(): Promise<ThrowawayServers> {
  const reporter = createStepReporter({ out: { write: () => true }, env: {} });
  const given = { databaseUrl: undefined, redisUrl: undefined };
  const servers = await startThrowawayServers({
    home,
    given,
    env: process.env,
    reporter,
    signal: new AbortController().signal,
    onKillable: () => undefined,
  });
  cleanUps.push(() => servers.stop());
  return servers;
}

/** Asks for TLS, which a living PostgreSQL answers with one letter before any password. */
function answersPostgres(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.write(Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(['N', 'S'].includes(data.toString('latin1')));
    });
  });
}

const answersRedis = (url: string): Promise<boolean> => pingRedis({ port: Number(new URL(url).port), password: new URL(url).password });
const bothAnswer = async (servers: ThrowawayServers): Promise<boolean> =>
  (await answersPostgres(servers.databaseUrl)) && (await answersRedis(servers.redisUrl));
const runsOf = (servers: { home: string }): ProcessIdentity[] => leftoverRuns(stateFolderAt(servers.home));

describe('startThrowawayServers', () => {
  it('starts servers that come back at the same place when they are killed, and leaves nothing when stopped', async () => {
    const servers = await start();
    expect(await bothAnswer(servers)).toBe(true);
    const before = runsOf(servers);
    expect(before).toHaveLength(2);
    for (const { pid } of before) process.kill(pid, 'SIGKILL');
    expect(
      await waitUntil(async () => !before.some(isRunning) && runsOf(servers).length === 2 && (await bothAnswer(servers)), {
        withinMs: 15_000,
      }),
    ).toBe(true);
    const after = runsOf(servers);
    await servers.stop();
    expect(after.some(isRunning)).toBe(false);
    expect(existsSync(servers.home)).toBe(false);
  }, 60_000);

  it('stops and removes the servers of a run that was killed, and leaves those of a living run alone', async () => {
    const living = await start();
    const orphaned = await startAndKillSupervisor();
    expect(orphaned.every(isRunning)).toBe(true);
    const next = await start();
    expect(orphaned.some(isRunning)).toBe(false);
    expect(await bothAnswer(living)).toBe(true);
    expect(readdirSync(stateFolderAt(home).throwaway)).toHaveLength(2);
    expect(next.home).not.toBe(living.home);
  }, 60_000);

  it('refuses a password that is not its own', async () => {
    const servers = await start();
    expect(await pingRedis({ port: Number(new URL(servers.redisUrl).port), password: 'wrong' })).toBe(false);
  }, 60_000);
});

/** Runs another supervisor in a process of its own, kills it when its servers run, and returns who these are. */
async function startAndKillSupervisor(): Promise<ProcessIdentity[]> {
  const supervisor = spawn(process.execPath, ['--input-type=module', '--eval', supervisorSource], { stdio: ['ignore', 'pipe', 'inherit'] });
  const servers = JSON.parse(await firstLine(supervisor)) as { home: string };
  const runs = runsOf(servers).flatMap(({ pid }) => identify(pid) ?? []);
  supervisor.kill('SIGKILL');
  await once(supervisor, 'exit');
  expect(runs).toHaveLength(2);
  return runs;
}

const supervisorSource = `
import { createStepReporter } from ${JSON.stringify(new URL('../terminal/step-reporter.ts', import.meta.url).href)};
import { startThrowawayServers } from ${JSON.stringify(new URL('./throwaway-servers.ts', import.meta.url).href)};
const servers = await startThrowawayServers({
  home: ${JSON.stringify(home)}, given: {}, env: process.env, signal: new AbortController().signal,
  reporter: createStepReporter({ out: { write: () => true }, env: {} }), onKillable: () => undefined,
});
console.log(JSON.stringify({ home: servers.home }));
setInterval(() => undefined, 1_000);
`;

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const chunk of child.stdout ?? []) return String(chunk);
  throw new Error('the supervisor ended without a line');
}
