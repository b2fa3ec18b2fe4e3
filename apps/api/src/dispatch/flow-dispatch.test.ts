// Bulks, the window, and Redis away, with a queue made of plain values.
import { afterEach, describe, expect, it } from '@jest/globals';
import { AppError, type Dispatch } from '@millrace/shared';
import { createLogger } from '@millrace/process';
import { eventually } from '@millrace/testing';
import { createFlowDispatch, type FlowDispatchService } from './flow-dispatch.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const job = (index: number): Dispatch => ({ id: `p${index}`, generation: 1, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 });
const started: FlowDispatchService[] = [];
afterEach(async () => {
  for (const dispatch of started.splice(0)) await dispatch.stop(1_000);
});

function setUp({ ready = true, waiting = 0, windowMax = 10 }: { ready?: boolean; waiting?: number; windowMax?: number }) {
  const queue = { ready, waiting, backlog: false, bulks: [] as number[], weights: new Map() as ReadonlyMap<string, number> | undefined };
  const dispatch = createFlowDispatch({
    windowMax,
    log,
    publish: () => Promise.resolve(),
    readWeights: () => Promise.resolve(new Map([['heavy', 3]])),
    dispatcher: {
      isReady: () => queue.ready,
      waitingCount: () => Promise.resolve(queue.waiting),
      hasBacklog: () => Promise.resolve(queue.backlog),
      dispatch: (_queue, dispatches, weights) => {
        if (!queue.ready) return Promise.reject(new AppError('dependency-unavailable'));
        queue.bulks.push(dispatches.length);
        queue.weights = weights;
        queue.waiting += dispatches.length;
        return Promise.resolve();
      },
    },
  });
  started.push(dispatch);
  return { dispatch, queue };
}

describe('flow dispatch', () => {
  it('sends many jobs as one, 500 at most', async () => {
    const { dispatch, queue } = setUp({ windowMax: 10_000 });
    dispatch.send(Array.from({ length: 1_200 }, (_, index) => job(index)));
    await dispatch.stop(1_000);
    expect(queue.bulks).toEqual([500, 500, 200]);
  });

  it('has no room once the window is full, and room again when workers have emptied it', async () => {
    const { dispatch, queue } = setUp({ windowMax: 10 });
    await dispatch.start();
    expect(dispatch.room()).toBe(10);
    dispatch.send(Array.from({ length: 10 }, (_, index) => job(index)));
    expect(dispatch.room()).toBe(0);
    await eventually(() => {
      expect(queue.waiting).toBe(10);
    });
    queue.waiting = 0;
    await eventually(() => {
      expect(dispatch.room()).toBe(10);
    });
  });

  it('sends jobs with the shares of their workspaces', async () => {
    const { dispatch, queue } = setUp({ windowMax: 1_000 });
    await dispatch.start();
    await eventually(() => {
      dispatch.send([job(1)]);
      expect(queue.weights).toEqual(new Map([['heavy', 3]]));
    });
  });

  it('has no room while Redis is away, and counts what it could not send', async () => {
    const { dispatch } = setUp({ ready: false });
    expect(dispatch.room()).toBe(0);
    dispatch.send([job(1), job(2)]);
    await eventually(() => {
      expect(dispatch.failureCount()).toBe(2);
    });
  });
});
