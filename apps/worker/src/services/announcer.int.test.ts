// The announcer on a real database.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import {
  claimPhases,
  createDatabase,
  listWorkers,
  readQueueRate,
  releasePhases,
  type Database,
  type HeldDefinition,
} from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, onlyPhase, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createAnnouncer, type Announcer } from './announcer.ts';
import { createTableCleaner } from './table-cleaner.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let started: Announcer[];

beforeEach(async () => {
  test = await createEngineFixture();
  started = [];
});

afterEach(async () => {
  await Promise.all(started.map((announcer) => announcer.stop(2_000)));
  await test.close();
});

async function announcer(id: string, definitions: readonly HeldDefinition[], database: Database = test.database): Promise<Announcer> {
  const made = createAnnouncer({
    database,
    worker: { id, host: 'here', pid: 1, startedAt: new Date(), concurrency: 5, queues: ['flow-phase'], definitions },
    runningCount: () => 2,
    now: () => new Date(),
    log,
    onPass: () => undefined,
  });
  started.push(made);
  await made.start();
  return made;
}

const workers = async () =>
  (await listWorkers(test.database.main, { after: null, limit: 10 })).map(({ id, stopping }) => ({ id, stopping }));

describe('the announcer', () => {
  it('announces its worker at once, that it stops, and takes its row with it', async () => {
    const made = await announcer('w', [{ name: 'f', version: 1 }]);
    await eventually(async () => {
      expect(await workers()).toEqual([{ id: 'w', stopping: false }]);
    });
    await made.announceStopping();
    expect(await workers()).toEqual([{ id: 'w', stopping: true }]);
    await made.stop(2_000);
    await made.stop(2_000);
    expect(await workers()).toEqual([]);
  });

  it('leaves its row, as stopped, when a phase of its worker could not be given back', async () => {
    const flowId = await test.start(test.define({ only: { run: () => 1 } }));
    await claimPhases(test.database.hot, [{ id: onlyPhase(flowId), generation: 1 }], { worker: 'w', leaseMs: 10_000 });
    const made = await announcer('w', []);
    await eventually(async () => {
      expect(await workers()).toEqual([{ id: 'w', stopping: false }]);
    });
    await made.stop(2_000);
    expect(await workers()).toEqual([{ id: 'w', stopping: true }]);
  });

  it('takes back what counted as a crash of its worker while that was alive', async () => {
    const flowId = await test.start(test.define({ only: { run: () => 1 } }));
    const id = onlyPhase(flowId);
    await claimPhases(test.database.hot, [{ id, generation: 1 }], { worker: 'w', leaseMs: 10_000 });
    await test.database.main.query("UPDATE millrace.phases SET due_at = now() - interval '1 second' WHERE id = $1", [id]);
    await releasePhases(test.database.hot, [{ id, fence: 1, outcome: 'lost', reason: 'lease-expired', delayMs: 0 }]);
    const crashes = async () =>
      (await test.database.main.query<{ crashes: number }>('SELECT crashes FROM millrace.phases WHERE id = $1', [id])).rows[0]?.crashes;
    expect(await crashes()).toBe(1);
    await announcer('w', []);
    await eventually(async () => {
      expect(await crashes()).toBe(0);
    });
  });

  it('reports the attempts that ended, at the latest when it stops', async () => {
    const made = await announcer('w', []);
    for (let n = 0; n < 10; n += 1) made.attemptEnded({ workspace: 'default', completed: n < 9 });
    await made.stop(2_000);
    const { completed, failed } = await readQueueRate(test.database.main, { queue: 'flow-phase', workspace: 'default' });
    expect(completed / failed).toBeCloseTo(9);
  });

  it('fails no stop when the database is away', async () => {
    const away = createDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing', name: 'away', onError: () => undefined });
    const made = await announcer('w', [], away);
    made.attemptEnded({ workspace: 'default', completed: true });
    await expect(made.announceStopping()).resolves.toBeUndefined();
    await expect(made.stop(2_000)).resolves.toBeUndefined();
    await away.close();
  });
});

describe('the table cleaner', () => {
  it('clears away what is over and keeps the rest', async () => {
    const sql = (text: string) => test.database.main.query(text);
    await sql(
      "INSERT INTO millrace.queue_pauses (queue, workspace, paused_by, until) VALUES ('flow-phase', 'a', 'x', now() - interval '1 second'), ('flow-phase', 'b', 'x', NULL)",
    );
    await announcer('w', []);
    const cleaner = createTableCleaner({ database: test.database, log, onPass: () => undefined });
    await cleaner.start();
    await eventually(async () => {
      expect((await sql('SELECT workspace FROM millrace.queue_pauses')).rows).toEqual([{ workspace: 'b' }]);
    });
    await cleaner.stop(1_000);
    expect(await workers()).toHaveLength(1);
  });
});
