// The order of jobs of several workspaces in one queue, in a real Redis.
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import { newId, type Dispatch } from '@millrace/shared';
import { eventually } from '@millrace/testing';
import { createJobDispatcher, type JobDispatcher } from './job-dispatcher.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const open: JobDispatcher[] = [];
let dispatcher: JobDispatcher;

async function openDispatcher(setBackAt?: number): Promise<JobDispatcher> {
  const made = createJobDispatcher({
    url: process.env['REDIS_URL'] ?? '',
    name: 'test-fair',
    log,
    prefix: `{test-fair-${newId()}}`,
    ...(setBackAt === undefined ? {} : { setBackAt }),
  });
  open.push(made);
  await eventually(() => {
    expect(made.isReady()).toBe(true);
  });
  return made;
}

beforeEach(async () => {
  dispatcher = await openDispatcher();
});

afterAll(async () => {
  for (const each of open) {
    await Promise.all(each.queues().map((queue) => queue.obliterate({ force: true })));
    await each.close();
  }
});

const jobs = (workspace: string, count: number, changes: Partial<Dispatch> = {}): Dispatch[] =>
  Array.from({ length: count }, () => ({ id: newId(), generation: 1, workspace, priority: 50, attempts: 1, delayMs: 0, ...changes }));

/** Positions of these jobs in the order in which workers will get them. */
async function positions(of: readonly Dispatch[], from = dispatcher): Promise<number[]> {
  const waiting = (await from.queues()[0]?.getJobs(['prioritized'], 0, -1, true)) ?? [];
  const ids = waiting.map((job) => (job.data as { id: string }).id);
  return of.map(({ id }) => ids.indexOf(id));
}

describe('the order of a shared queue', () => {
  it('is that of dispatch for one workspace', async () => {
    const all = jobs('a', 500);
    await dispatcher.dispatch('flow-phase', all.slice(0, 250));
    await dispatcher.dispatch('flow-phase', all.slice(250));
    expect(await positions(all)).toEqual(all.map((_, index) => index));
  });

  it('lets a few of one workspace pass the many of another', async () => {
    await dispatcher.dispatch('flow-phase', jobs('a', 2_000));
    const few = jobs('b', 10);
    await dispatcher.dispatch('flow-phase', few);
    expect(Math.max(...(await positions(few)))).toBeLessThan(50);
  });

  it('gives two that flood it the same share', async () => {
    const [a, b] = [jobs('a', 1_000), jobs('b', 1_000)];
    await dispatcher.dispatch('flow-phase', a);
    await dispatcher.dispatch('flow-phase', b);
    const early = (await positions(b)).filter((position) => position < 1_000);
    expect(early.length).toBeGreaterThan(450);
    expect(early.length).toBeLessThan(550);
  });

  it('gives a heavier workspace its share', async () => {
    const [a, b] = [jobs('a', 1_000), jobs('b', 1_000)];
    const weights = new Map([['b', 3]]);
    await dispatcher.dispatch('flow-phase', a, weights);
    await dispatcher.dispatch('flow-phase', b, weights);
    const early = (await positions(b)).filter((position) => position < 800).length;
    expect(early).toBeGreaterThan(560);
    expect(early).toBeLessThan(640);
  });

  it('lets the urgent ones of a workspace pass its own, not those of others', async () => {
    await dispatcher.dispatch('flow-phase', [...jobs('a', 300, { priority: 60 }), ...jobs('b', 300)]);
    const urgent = jobs('a', 5, { priority: 1 });
    await dispatcher.dispatch('flow-phase', urgent);
    const [own, others] = [await positions(urgent), await positions(jobs('b', 0))];
    expect(Math.max(...own)).toBeLessThan(40);
    expect(others).toEqual([]);
  });

  it('knows about how deep a workspace is in it', async () => {
    await dispatcher.dispatch('flow-phase', [...jobs('a', 320), ...jobs('b', 32)]);
    const [a, b, c] = await dispatcher.depths('flow-phase', ['a', 'b', 'c']);
    expect([a, b, c]).toEqual([320, 32, 0]);
  });

  it('goes on in order when its rounds are set back', async () => {
    const early = await openDispatcher(3);
    const all = jobs('a', 400);
    for (let from = 0; from < all.length; from += 50) await early.dispatch('flow-phase', all.slice(from, from + 50));
    const first = (await early.queues()[0]?.getJobs(['prioritized'], 0, 199, true)) ?? [];
    for (const job of first) await job.remove();
    const later = jobs('a', 200);
    for (let from = 0; from < later.length; from += 50) await early.dispatch('flow-phase', later.slice(from, from + 50));
    const order = await positions([...all.slice(200), ...later], early);
    expect(order).toEqual([...order].sort((one, other) => one - other));
    const last = (await early.queues()[0]?.getJobs(['prioritized'], -1, -1, true)) ?? [];
    expect(last[0]?.opts.priority ?? Number.MAX_VALUE).toBeLessThan(128 * 16);
  });

  it('says that there is a backlog as long as somebody says so', async () => {
    expect(await dispatcher.hasBacklog('flow-phase')).toBe(false);
    await dispatcher.markBacklog('flow-phase');
    expect(await dispatcher.hasBacklog('flow-phase')).toBe(true);
  });
});
