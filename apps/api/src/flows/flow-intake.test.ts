// How flows are gathered into statements; the statement itself is tested with the store.
import { describe, expect, it } from '@jest/globals';
import type { CreatedFlow, NewFlow, NewPhase } from '@millrace/store';
import { createFlowIntake, slicesOf, type FlowOrder } from './flow-intake.ts';

function order(phaseCount = 1, inputLength = 2): FlowOrder {
  const phases = Array.from({ length: phaseCount }, (_, index) => ({
    name: `p${index}`,
    needs: [],
    dependants: [],
    attemptMax: 4,
    signal: null,
    waitTimeoutMs: null,
  }));
  return {
    idempotency: null,
    draft: {
      workspace: 'w',
      createdBy: 'k',
      name: 'f',
      version: 1,
      inputJson: inputLength === 2 ? '{}' : JSON.stringify('x'.repeat(inputLength - 2)),
      tags: {},
      priority: 50,
      runAt: null,
      phases,
      respond: (id) => ({ status: 202, body: { id } }),
    },
  };
}

function setUp({ room = 1_000_000, fail, refuse }: { room?: number; fail?: Error; refuse?(flow: NewFlow): boolean } = {}) {
  const statements: NewFlow[][] = [];
  const sent: string[] = [];
  const rung: string[] = [];
  const intake = createFlowIntake({
    createFlows: (flows) => {
      statements.push([...flows]);
      if (fail !== undefined) return Promise.reject(fail);
      if (refuse !== undefined && flows.some(refuse)) return Promise.reject(Object.assign(new Error('bad value'), { code: '22P05' }));
      return Promise.resolve(
        flows.map((flow, index): CreatedFlow => ({
          kind: 'created',
          flowId: `${statements.length}.${index}`,
          status: 202,
          body: {},
          dispatches: flow.dispatch
            ? [{ id: `${statements.length}.${index}`, generation: 1, workspace: 'default', priority: 50, attempts: 4, delayMs: 0 }]
            : [],
        })),
      );
    },
    createDedupedFlows: () => Promise.reject(new Error('no flow here has a dedupe key')),
    announce: () => undefined,
    dispatch: {
      send: (dispatches) => sent.push(...dispatches.map((dispatch) => dispatch.id)),
      room: () => room,
      ring: (what) => rung.push(what),
    },
    metrics: { batchWritten: () => undefined, flowsAccepted: () => undefined },
  });
  return { intake, statements, sent, rung };
}

const never = () => false;

describe('the flow intake', () => {
  it('writes concurrent requests with one statement and dispatches after it', async () => {
    const { intake, statements, sent } = setUp();
    const created = await Promise.all(Array.from({ length: 100 }, () => intake.createOne(order(), never)));
    expect(statements.map((flows) => flows.length)).toEqual([100]);
    expect(created.map((flow) => flow.kind === 'created' && flow.flowId)).toEqual(Array.from({ length: 100 }, (_, index) => `1.${index}`));
    expect(sent).toHaveLength(100);
  });

  it('leaves phases in the backlog while the queue has no room', async () => {
    const { intake, statements, sent } = setUp({ room: 0 });
    await intake.createOne(order(), never);
    expect({ dispatch: statements[0]?.[0]?.dispatch, sent }).toEqual({ dispatch: false, sent: [] });
  });

  it('dispatches the first of many as far as there is room', async () => {
    const { intake, statements, sent } = setUp({ room: 3 });
    await intake.createMany([order(), order(), order(5), order(), order()], never);
    expect(statements[0]?.map((flow) => flow.dispatch)).toEqual([true, true, true, false, false]);
    expect(sent).toEqual(['1.0', '1.1', '1.2']);
  });

  it('rings for what it leaves to the workers, and for nothing else', async () => {
    const [free, full] = [setUp(), setUp({ room: 0 })];
    const [draft, phase] = [order().draft, order().draft.phases[0] as NewPhase];
    await free.intake.createOne(order(), never);
    await full.intake.createOne({ draft: { ...draft, runAt: '2099-01-01T00:00:00.000Z' }, idempotency: null }, never);
    expect([free.rung, full.rung]).toEqual([[], []]);
    await full.intake.createOne(order(), never);
    expect(full.rung).toEqual(['backlog']);
    await free.intake.createOne({ draft: { ...draft, phases: [{ ...phase, rateKey: 'api' }] }, idempotency: null }, never);
    await free.intake.createOne({ draft: { ...draft, extras: { concurrency: { key: 'k', limit: 1 } } }, idempotency: null }, never);
    expect(free.rung).toEqual(['admissions', 'admissions']);
  });

  it('does not write for requests that were answered meanwhile', async () => {
    const { intake, statements } = setUp();
    const gone = intake.createOne(order(), () => true);
    const kept = intake.createOne(order(), never);
    await expect(gone).rejects.toMatchObject({ code: 'dependency-unavailable' });
    expect((await kept).kind).toBe('created');
    expect(statements.map((flows) => flows.length)).toEqual([1]);
  });

  it('tells that the database is away', async () => {
    const { intake } = setUp({ fail: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }) });
    await expect(intake.createOne(order(), never)).rejects.toMatchObject({ code: 'dependency-unavailable' });
  });

  it('writes a batch in slices of 500, in order', async () => {
    const { intake, statements } = setUp();
    const created = await intake.createMany(
      Array.from({ length: 1_100 }, () => order()),
      never,
    );
    expect(statements.map((flows) => flows.length)).toEqual([500, 500, 100]);
    expect(created.map((flow) => flow.kind === 'created' && flow.flowId).slice(498, 502)).toEqual(['1.498', '1.499', '2.0', '2.1']);
  });

  it('lets no statement grow beyond 20,000 phases, but for a flow that is that wide by itself', () => {
    const slices = slicesOf([order(15_000), order(6_000), order(13_990), order(20_000), order(1)]);
    expect(slices.map((slice) => slice.map(({ draft }) => draft.phases.length))).toEqual([[15_000], [6_000, 13_990], [20_000], [1]]);
  });

  it('lets no statement carry more than 8 MiB of inputs, whether they come together or one by one', async () => {
    const { intake, statements } = setUp();
    const orders = Array.from({ length: 20 }, () => order(1, 1024 * 1024));
    await intake.createMany(orders, never);
    await Promise.all(orders.map((one) => intake.createOne(one, never)));
    expect(statements.map((flows) => flows.length)).toEqual([7, 7, 6, 7, 7, 6]);
  });

  it('refuses for now what would wait behind too many large inputs', async () => {
    const { intake } = setUp();
    const settled = await Promise.allSettled(Array.from({ length: 200 }, () => intake.createOne(order(1, 1024 * 1024), never)));
    const refused = settled.filter((one) => one.status === 'rejected');
    expect(refused.length).toBeGreaterThan(50);
    expect(refused[0]?.reason).toMatchObject({ code: 'dependency-unavailable' });
  });

  it('commits nothing twice when one flow of a batch is refused by the database', async () => {
    const { intake, statements } = setUp({ refuse: (flow) => flow.inputJson === '13' });
    const orders = Array.from({ length: 30 }, (_, n) => ({ ...order(4_000), draft: { ...order(4_000).draft, inputJson: String(n) } }));
    const settled = await Promise.allSettled(orders.map((one) => intake.createOne(one, never)));
    expect(settled.flatMap((one, n) => (one.status === 'rejected' ? [n] : []))).toEqual([13]);
    const committed = statements.filter((flows) => !flows.some((flow) => flow.inputJson === '13')).flat();
    expect(committed.map((flow) => Number(flow.inputJson)).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 30 }, (_, n) => n).filter((n) => n !== 13),
    );
  });
});
