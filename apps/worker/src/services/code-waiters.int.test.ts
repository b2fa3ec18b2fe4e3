// Workers of two versions at one database: each runs what it holds the code for, whoever gets the jobs.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, type Loop } from '@millrace/process';
import { announceWorker, type HeldDefinition } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEngineFixture, onlyPhase, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import type { FlowEngine } from '../engine/create-flow-engine.ts';
import { createCodeWaiters } from './code-waiters.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let started: Loop[];

beforeEach(async () => {
  test = await createEngineFixture();
  started = [];
});

afterEach(async () => {
  await Promise.all(started.map((loop) => loop.stop(2_000)));
  await test.close();
});

async function waiters(definitions: readonly HeldDefinition[], direct: FlowEngine['direct']): Promise<void> {
  const loop = createCodeWaiters({
    database: test.database,
    definitions,
    direct,
    onReleased: () => undefined,
    log,
    onPass: () => undefined,
  });
  started.push(loop);
  await loop.start();
}

const announce = (id: string, definitions: readonly HeldDefinition[]) =>
  announceWorker(test.database.main, {
    id,
    host: 'here',
    pid: 1,
    startedAt: new Date(),
    concurrency: 5,
    running: 0,
    stopping: false,
    queues: ['flow-phase'],
    definitions,
  });
const heldFor = async (flowId: string) =>
  (await test.database.main.query<{ held: string | null }>('SELECT held FROM millrace.phases WHERE id = $1', [onlyPhase(flowId)])).rows[0]
    ?.held;

describe('phases of a version that some workers do not hold', () => {
  it('wait without having begun while no worker holds it', async () => {
    const name = test.define({ only: { run: () => 'done' } }, 1);
    const flowId = await test.start(name, {}, 2);
    await test.engine();
    await eventually(async () => {
      expect(await heldFor(flowId)).toBe('worker');
    });
    expect(await test.story(flowId)).toEqual(['flow.queued', 'phase.queued only']);
  });

  it('run in the one that does, although the queue hands all of them to the other', async () => {
    const attempts: number[] = [];
    const run = ({ attempt }: { attempt: number }) => {
      attempts.push(attempt);
      if (attempt === 1) throw new Error('once more');
      return 'done';
    };
    const retry = { attempts: 2, backoff: { type: 'fixed', delay: '50ms' } } as const;
    const name = test.define({ only: { retry, run }, after: { needs: ['only'], run: () => 'after' } }, 2);
    // Takes all jobs.
    await test.engine({ version: 1 });
    const flowIds = await Promise.all([1, 2, 3, 4, 5].map(() => test.start(name, {}, 2)));
    await eventually(
      async () => {
        expect(await Promise.all(flowIds.map(heldFor))).toEqual(['worker', 'worker', 'worker', 'worker', 'worker']);
      },
      { withinMs: 20_000 },
    );
    await announce('older', [{ name, version: 1 }]);
    await announce('newer', [{ name, version: 2 }]);
    const newer = await test.engine({ consumes: false });
    await waiters([{ name, version: 2 }], newer.direct);
    for (const flowId of flowIds) expect((await test.ended(flowId, 20_000)).phases.map(({ output }) => output)).toEqual(['done', 'after']);
    expect(attempts.toSorted((one, other) => one - other)).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
  });
});
