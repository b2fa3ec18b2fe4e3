// The loops that keep the tables small, as workers run them: several at once, on a database with flows that have ended.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, type Loop } from '@millrace/process';
import { createFlowRegistry, defineFlow } from '@millrace/sdk';
import { createDatabase, createFlows, type Database } from '@millrace/store';
import { createTestDatabase, eventually, type TestDatabase } from '@millrace/testing';
import { z } from 'zod';
import { createPartitions } from './partitions.ts';
import { createRetention } from './retention.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const PATIENCE = { withinMs: 15_000 };
let test: TestDatabase;
let running: Loop[];
let others: Database[];
let deleted: number;

beforeEach(async () => {
  test = await createTestDatabase();
  running = [];
  others = [];
  deleted = 0;
});
afterEach(async () => {
  await Promise.all(running.map((loop) => loop.stop(5_000)));
  await Promise.all(others.map((database) => database.close()));
  await test.drop();
});

const phases = { only: { run: () => null } };
const registry = createFlowRegistry([
  defineFlow({ name: 'brief', version: 1, input: z.unknown(), phases, retention: { age: '1h' } }),
  defineFlow({ name: 'brief', version: 2, input: z.unknown(), phases, retention: { age: 0 } }),
  defineFlow({ name: 'few', version: 1, input: z.unknown(), phases, retention: { count: 3 } }),
  defineFlow({ name: 'plain', version: 1, input: z.unknown(), phases }),
]);

function start(make: (common: { database: Database; retentionDays: number; log: typeof log; onPass: () => void }) => Loop): Loop {
  const database = createDatabase({ url: test.url, name: 'test-retention', onError: () => undefined });
  others.push(database);
  const loop = make({ database, retentionDays: 90, log, onPass: () => undefined });
  running.push(loop);
  void loop.start();
  return loop;
}
const startRetention = (known = registry) =>
  start((common) =>
    createRetention({
      ...common,
      registry: known,
      onDeleted: ({ count }) => {
        deleted += count;
      },
    }),
  );

async function makeEnded(name: string, count: number): Promise<void> {
  const flow = {
    workspace: 'default',
    createdBy: 'test',
    name,
    version: 1,
    inputJson: '{}',
    tags: {},
    priority: 50,
    runAt: null,
    idempotency: null,
    dispatch: false,
    phases: [],
    respond: () => ({ status: 202, body: null }),
  };
  await createFlows(
    test.database.hot,
    Array.from({ length: count }, () => flow),
  );
  await test.database.main.query("UPDATE millrace.flows SET status = 'completed', finished_at = now() WHERE name = $1", [name]);
}

async function left(): Promise<Record<string, number>> {
  const result = await test.database.main.query<{ name: string; count: number }>(
    'SELECT name, count(*)::int AS count FROM millrace.flows GROUP BY name ORDER BY name',
  );
  return Object.fromEntries(result.rows.map(({ name, count }) => [name, count]));
}

describe('retention', () => {
  it('deletes what the definitions let go, each flow once, whoever does it', async () => {
    await makeEnded('brief', 1_200);
    await makeEnded('few', 5);
    await makeEnded('plain', 2);
    for (let workers = 0; workers < 3; workers += 1) startRetention();
    await eventually(async () => {
      expect(await left()).toEqual({ few: 3, plain: 2 });
      expect(deleted).toBe(1_202);
    }, PATIENCE);
  });

  it('goes by what a worker said that knew the definition, whoever deletes', async () => {
    await makeEnded('few', 5);
    const loop = startRetention();
    await eventually(async () => {
      expect(await left()).toEqual({ few: 3 });
    }, PATIENCE);
    await loop.stop(5_000);
    await makeEnded('few', 5);
    startRetention(createFlowRegistry([]));
    await eventually(async () => {
      expect(await left()).toEqual({ few: 3 });
    }, PATIENCE);
  });

  it('goes on where a worker stopped in the midst of it', async () => {
    await makeEnded('brief', 1_700);
    const first = startRetention();
    await eventually(() => {
      expect(deleted).toBeGreaterThan(0);
    }, PATIENCE);
    await first.stop(5_000);
    startRetention();
    await eventually(async () => {
      expect(await left()).toEqual({});
    }, PATIENCE);
    const rest = await test.database.main.query('SELECT FROM millrace.events');
    expect(rest.rowCount).toBe(0);
  });

  it('clears away idempotency keys that count no more', async () => {
    await test.database.main.query(
      "INSERT INTO millrace.idempotency_keys (workspace, route, key, body_hash, status, response, created_at) SELECT 'default', 'r', k, '', 202, '{}', now() - a FROM (VALUES ('old', interval '25 hours'), ('new', interval '23 hours')) AS v (k, a)",
    );
    startRetention();
    await eventually(async () => {
      const keys = await test.database.main.query<{ key: string }>('SELECT key FROM millrace.idempotency_keys');
      expect(keys.rows.map((row) => row.key)).toEqual(['new']);
    }, PATIENCE);
  });
});

describe('partitions', () => {
  it('are there again for the months to come, however many processes look', async () => {
    const months = async () => {
      const result = await test.database.main.query<{ name: string }>(
        "SELECT name FROM millrace.partitions WHERE parent = 'event_log' ORDER BY bound",
      );
      return result.rows.map((row) => row.name);
    };
    const before = await months();
    // In the last days of a month the first partition holds the next month already.
    expect(before.length).toBeGreaterThanOrEqual(2);
    await test.database.main.query(`DROP TABLE millrace.${before.at(-1) ?? ''}`);
    for (let workers = 0; workers < 3; workers += 1) start(createPartitions);
    await eventually(async () => {
      expect(await months()).toEqual(before);
    }, PATIENCE);
  });
});
