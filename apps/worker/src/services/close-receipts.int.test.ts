// Receipts of cancelled phases whose worker is gone, as the reconciler finds them.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, systemClock } from '@millrace/process';
import { createJobDispatcher } from '@millrace/queue';
import { cancelFlow, readFlow } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { createEventPublisher } from '../engine/event-publisher.ts';
import { createEngineFixture, gate, type EngineFixture } from '../engine/test-support/engine-fixture.ts';
import { createReconciler } from './reconciler.ts';

const log = createLogger({ name: 'test', level: 'silent' });
let test: EngineFixture;

beforeEach(async () => {
  test = await createEngineFixture();
});

afterEach(async () => {
  await test.close();
});

describe('the reconciler', () => {
  it('closes as fenced what no worker has answered for, and nothing younger', async () => {
    const engine = await test.engine();
    const goOn = gate();
    const name = test.define({ only: { run: () => goOn.promise } });
    const [old, young] = [await test.start(name), await test.start(name)];
    await eventually(() => {
      expect(engine.running.list()).toHaveLength(2);
    });
    for (const flowId of [old, young]) await cancelFlow(test.database, { flowId, workspace: 'default', by: 'someone' });
    await test.database.main.query(
      "UPDATE millrace.cancellations SET requested_at = requested_at - interval '31 seconds' WHERE flow_id = $1",
      [old],
    );
    const dispatcher = createJobDispatcher({
      url: process.env['REDIS_URL'] ?? '',
      name: 'test-receipts',
      log,
      prefix: test.keys.queuePrefix(),
    });
    const reconciler = createReconciler({
      database: test.database,
      dispatcher,
      publisher: createEventPublisher({ updates: test.updates, log }),
      dispatch: () => undefined,
      reconcileImports: () => Promise.resolve('idle'),
      endOverdueFlows: () => Promise.resolve(0),
      clock: systemClock,
      log,
      onPass: () => undefined,
    });
    await reconciler.start();
    const receiptsOf = async (flowId: string) =>
      (await readFlow(test.database.main, { flowId, workspace: 'default' }))?.cancellation?.phases.map(({ how, ended_at }) => [
        how,
        ended_at,
      ]);
    await eventually(async () => {
      expect(await receiptsOf(old)).toEqual([['fenced', expect.any(Date)]]);
    });
    expect(await receiptsOf(young)).toEqual([[null, null]]);
    goOn.resolve();
    await reconciler.stop(2_000);
    await dispatcher.close();
  });
});
