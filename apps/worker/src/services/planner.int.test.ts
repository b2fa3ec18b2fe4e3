// Flows started in SQL, from the call to their end, on a worker's real services; and what their definitions make of odd input.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, type Loop } from '@millrace/process';
import { createJobDispatcher, type JobDispatcher } from '@millrace/queue';
import { createFlowPlanner, createFlowRegistry, defineFlow, type FlowDefinition } from '@millrace/sdk';
import { eventually } from '@millrace/testing';
import { z } from 'zod';
import { createEventPublisher } from '../engine/event-publisher.ts';
import { createEngineFixture, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createFlowDispatcher } from './dispatcher.ts';
import { createPlanner } from './planner.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;
let dispatcher: JobDispatcher;
let running: Loop[];

beforeEach(async () => {
  test = await createEngineFixture();
  dispatcher = createJobDispatcher({ url: process.env['REDIS_URL'] ?? '', name: 'test-planner', log, prefix: test.keys.queuePrefix() });
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((loop) => loop.stop(2_000)));
  await dispatcher.close();
  await test.close();
});

async function startPlanner(definitions: readonly FlowDefinition[]) {
  const registry = createFlowRegistry(definitions);
  const flowDispatcher = createFlowDispatcher({ database: test.database, dispatcher, windowMax: 100, log, onPass: () => undefined });
  let planned = 0;
  const planner = createPlanner({
    database: test.database,
    registry,
    planner: createFlowPlanner(registry),
    publisher: createEventPublisher({ updates: test.updates, log }),
    onPlanned: () => {
      planned += 1;
      flowDispatcher.wake();
    },
    log,
    onPass: () => undefined,
  });
  running.push(planner, flowDispatcher);
  for (const loop of running) await loop.start();
  return () => planned;
}

const call = async (args: string) =>
  (await test.database.main.query<{ id: string }>(`SELECT millrace.start_flow(${args}) AS id`)).rows[0]?.id ?? '';
const define = (name: string, input: z.ZodType, phases: FlowDefinition['phases'], more: Partial<FlowDefinition> = {}) =>
  defineFlow({ name, version: 1, input, phases, ...more });

describe('the planner', () => {
  it('lets a flow that was started in SQL run to its end', async () => {
    const name = test.define({ double: { run: (ctx: { input: { n: number } }) => ctx.input.n * 2 } });
    await test.engine();
    await startPlanner([define(name, z.object({ n: z.number() }), { double: { run: () => null } })]);
    const id = await call(`'${name}', '{"n": 21}'`);
    const { flow, phases } = await test.ended(id);
    expect([flow.status, flow.version, phases[0]?.output]).toEqual(['completed', 1, 42]);
    expect(await test.story(id)).toEqual([
      'flow.queued',
      'phase.queued double',
      'flow.started',
      'phase.started double',
      'phase.completed double',
      'flow.completed',
    ]);
  });

  it('takes the latest version, its time limit and its expiry', async () => {
    const input = z.unknown();
    const phases = { only: { run: () => null } };
    await startPlanner([
      define('sql.versions', input, phases),
      define('sql.versions', input, phases, { version: 3, timeout: '1h', expiresIn: '10m' }),
    ]);
    const id = await call(`'sql.versions', '{}', run_at => now() + interval '1 hour'`);
    const flow = await eventually(async () => {
      const { rows } = await test.database.main.query<{ version: number; timeout_ms: number; wait: number; due: boolean }>(
        'SELECT version, timeout_ms, extract(epoch FROM expires_at - run_at)::int AS wait, due_at = expires_at AS due FROM millrace.flows WHERE id = $1 AND planned',
        [id],
      );
      expect(rows).toHaveLength(1);
      return rows[0];
    });
    expect(flow).toEqual({ version: 3, timeout_ms: 3_600_000, wait: 600, due: true });
  });

  it('fails what its definition refuses or breaks on, and goes on with the rest', async () => {
    const broken = () => {
      throw new Error('no phases for this');
    };
    const phases = { only: { run: () => null } };
    const planned = await startPlanner([
      define('sql.strict', z.strictObject({ account: z.object({ id: z.int() }) }), phases),
      define('sql.broken', z.unknown(), broken),
      define('sql.cycle', z.unknown(), { a: { needs: ['b'], run: () => null }, b: { needs: ['a'], run: () => null } }),
      define('sql.fine', z.unknown(), phases),
    ]);
    const ids = [await call(`'sql.strict', '{"account": {"id": "x"}}'`), await call("'sql.broken', '{}'"), await call("'sql.cycle', '{}'")];
    const errors = await Promise.all(ids.map(async (id) => (await test.ended(id)).flow.error));
    expect(errors).toEqual([
      { code: 'validation', message: expect.stringContaining('/input/account/id') },
      { code: 'invalid-flow', message: expect.stringMatching(/./) },
      { code: 'invalid-flow', message: expect.stringContaining('phase a') },
    ]);
    expect(await test.story(ids[0] ?? '')).toEqual(['flow.queued', 'flow.failed']);
    await call("'sql.fine', '{}'");
    await eventually(() => {
      expect(planned()).toBe(1);
    });
  });

  it('leaves what it does not know queued', async () => {
    const planned = await startPlanner([define('sql.known', z.unknown(), { only: { run: () => null } })]);
    const unknown = await call("'sql.unknown', '{}'");
    await call("'sql.known', '{}'");
    await eventually(() => {
      expect(planned()).toBe(1);
    });
    expect((await test.read(unknown)).flow).toMatchObject({ status: 'queued', version: 0 });
  });
});
