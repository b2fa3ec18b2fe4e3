// Phases with a condition: skipped when it says so, without harm to what comes after them.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { PhaseContext, PhaseDefinition } from '@millrace/sdk';
import { rerunPhase, takeBacklog } from '@millrace/store';
import { eventually } from '@millrace/testing';
import { startTestService } from './http/test-support/test-service.ts';
import { createEngineFixture, type EngineFixture, type FlowState } from './test-support/engine-fixture.ts';

let test: EngineFixture;

beforeEach(async () => {
  test = await createEngineFixture();
  await test.engine();
});

afterEach(async () => {
  await test.close();
});

type Facts = { input: { wanted?: boolean }; outputs: Record<string, unknown> };
type Phases = Record<string, PhaseDefinition<never>>;

const AT_ONCE = { attempts: 2, backoff: { type: 'fixed', delay: 10 } } as const;
const runFlow = async (phases: Phases, input: unknown = {}): Promise<FlowState> => test.ended(await test.start(test.define(phases), input));
/** What the dispatcher of a worker does all the time. */
const feed = async () => test.dispatch(await takeBacklog(test.database.hot, [{ workspace: 'default', count: 10 }]));
const statusesOf = ({ phases }: FlowState) => Object.fromEntries(phases.map((phase) => [phase.name, phase.status]));

describe('a phase with a condition', () => {
  it('is skipped when the condition says no, and what needs it goes on without its output', async () => {
    let ran = 0;
    const state = await runFlow({
      first: { run: () => 1 },
      maybe: { needs: ['first'], when: ({ outputs }: Facts) => outputs['first'] === 2, run: () => (ran += 1) },
      last: { needs: ['first', 'maybe'], run: (ctx: PhaseContext) => ({ keys: Object.keys(ctx.outputs) }) },
      behind: { needs: ['maybe'], run: (ctx: PhaseContext) => ({ keys: Object.keys(ctx.outputs) }) },
    });
    expect([state.flow.status, statusesOf(state), ran]).toEqual([
      'completed',
      { first: 'completed', maybe: 'skipped', last: 'completed', behind: 'completed' },
      0,
    ]);
    expect(state.phases.map((phase) => phase.output)).toEqual([1, null, { keys: ['first'] }, { keys: [] }]);
    expect(state.phases[1]).toMatchObject({ attempts: 0, error: null });
    const skipped = (await test.events(state.flow.id)).find((event) => event.type === 'phase.skipped');
    expect(skipped).toMatchObject({ phase: 'maybe', data: { because: 'when' } });
  });

  it('runs when the condition says yes', async () => {
    const maybe = { when: ({ input }: Facts) => input.wanted === true, run: () => 'ran' };
    const [yes, no] = [await runFlow({ maybe }, { wanted: true }), await runFlow({ maybe }, { wanted: false })];
    expect([yes.phases[0]?.output, no.phases[0]?.status, no.flow.status]).toEqual(['ran', 'skipped', 'completed']);
  });

  it('lets its flow complete when nothing in it has run', async () => {
    const never = { when: () => false, run: () => 1 };
    const state = await runFlow({ a: never, b: { needs: ['a'], ...never }, c: { needs: ['a', 'b'], ...never } });
    expect([state.flow.status, statusesOf(state)]).toEqual(['completed', { a: 'skipped', b: 'skipped', c: 'skipped' }]);
    expect((await test.story(state.flow.id)).at(-1)).toBe('flow.completed');
  });

  it('lets a phase that waits for a signal begin to wait', async () => {
    const flowId = await test.start(
      test.define({ a: { when: () => false, run: () => 1 }, b: { needs: ['a'], waitFor: { signal: 'go' } } }),
    );
    await eventually(async () => {
      expect((await test.read(flowId)).flow.status).toBe('waiting');
    });
    expect((await test.story(flowId)).slice(-2)).toEqual(['phase.skipped a', 'phase.waiting b']);
  });

  it('fails the attempt when the condition throws, and is asked again with the next', async () => {
    let asked = 0;
    const when = () => {
      asked += 1;
      if (asked === 1) throw new Error('not yet');
      return true;
    };
    const state = await runFlow({ a: { retry: AT_ONCE, when, run: () => asked } });
    expect([state.flow.status, state.phases[0]?.output, state.phases[0]?.attempts]).toEqual(['completed', 2, 2]);
  });

  it('fails with its flow when the condition goes on throwing, and skips what needs it', async () => {
    const when = () => {
      throw new Error('never');
    };
    const state = await runFlow({ a: { retry: AT_ONCE, when, run: () => 1 }, b: { needs: ['a'], run: () => 2 } });
    expect([state.flow.status, statusesOf(state)]).toEqual(['failed', { a: 'failed', b: 'skipped' }]);
    expect(state.phases[0]?.error).toEqual({ code: 'Error', message: 'never' });
  });

  it('fails at once when the condition answers with a promise, which would always count as yes', async () => {
    const when = (() => Promise.resolve(false)) as unknown as () => boolean;
    const state = await runFlow({ a: { when, run: () => 1 } });
    expect(state.phases[0]).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'PermanentError', message: 'when must answer true or false, and at once' },
    });
  });

  it('sends no request for an http phase that is not wanted', async () => {
    const service = await startTestService();
    const call = { http: { url: service.url }, when: ({ input }: Facts) => input.wanted === true };
    const state = await runFlow({ call, after: { needs: ['call'], run: (ctx: PhaseContext) => Object.keys(ctx.outputs) } });
    expect([state.flow.status, statusesOf(state), service.requests.length]).toEqual([
      'completed',
      { call: 'skipped', after: 'completed' },
      0,
    ]);
    await service.close();
  });

  it('is asked again when it is run again, and stays skipped when it is not', async () => {
    let wanted = false;
    const flowId = await test.start(
      test.define({ a: { when: () => wanted, run: () => 'a' }, b: { needs: ['a'], run: (ctx: PhaseContext) => Object.keys(ctx.outputs) } }),
    );
    await test.ended(flowId);
    wanted = true;
    const again = async (phase: string) => {
      const outcome = await rerunPhase(test.database, { flowId, workspace: 'default', phase });
      expect(outcome.kind).toBe('done');
      await feed();
      return statusesOf(await test.ended(flowId));
    };
    expect(await again('b')).toEqual({ a: 'skipped', b: 'completed' });
    expect(await again('a')).toEqual({ a: 'completed', b: 'completed' });
    expect((await test.read(flowId)).phases[1]?.output).toEqual(['a']);
  });
});

describe('a phase that is run again', () => {
  it('does its steps anew', async () => {
    const done: string[] = [];
    const flowId = await test.start(
      test.define({
        a: {
          run: async (ctx: PhaseContext) => {
            await ctx.step('one', () => done.push(ctx.idempotencyKey));
            return done.length;
          },
        },
      }),
    );
    await test.ended(flowId);
    await rerunPhase(test.database, { flowId, workspace: 'default', phase: 'a' });
    await feed();
    expect((await test.ended(flowId)).phases[0]?.output).toBe(2);
    expect(new Set(done).size).toBe(2);
  });
});

describe('what a handler is given', () => {
  it('is read-only, so that no phase changes what another one sees', async () => {
    const seen: unknown[] = [];
    const tryTo = (change: () => void) => {
      try {
        change();
        return 'changed';
      } catch (error) {
        return error instanceof TypeError ? 'refused' : String(error);
      }
    };
    const state = await runFlow(
      {
        a: {
          run: (ctx: PhaseContext<{ list: number[] }>) => {
            seen.push(tryTo(() => ctx.input.list.push(4)));
            return { rows: [1] };
          },
        },
        b: {
          needs: ['a'],
          run: (ctx: PhaseContext<{ list: number[] }>) => {
            seen.push(tryTo(() => (ctx.outputs['a'] as { rows: number[] }).rows.push(2)));
            return ctx.input.list;
          },
        },
      },
      { list: [1, 2, 3] },
    );
    expect([seen, state.phases[1]?.output]).toEqual([
      ['refused', 'refused'],
      [1, 2, 3],
    ]);
  });
});
