import { describe, expect, it } from '@jest/globals';
import { phaseTable, planPhases, type FlowDefinition, type PhaseContext } from '@millrace/sdk';
import { SELFTEST_FLOWS } from './index.ts';

const flowNamed = (name: string): FlowDefinition => {
  const found = SELFTEST_FLOWS.find((definition) => definition.name === `selftest.${name}`);
  if (found === undefined) throw new Error(`there is no selftest.${name}`);
  return found;
};
const shape = (name: string, input: unknown) => {
  const definition = flowNamed(name);
  const plan = planPhases(definition, definition.input.parse(input));
  if (!plan.ok) throw new Error(JSON.stringify(plan.faults));
  return plan.phases;
};
/** Runs a phase with what it uses of a context. */
const runPhase = async (name: string, phase: string, ctx: Partial<PhaseContext>) => {
  const table = phaseTable(flowNamed(name), ctx.input ?? {});
  const found = table[phase];
  if (found === undefined || !('run' in found)) throw new Error(`phase ${phase} has no handler`);
  return found.run(ctx as PhaseContext);
};

describe('the inputs of selftest flows', () => {
  it.each<[string, unknown[], unknown[]]>([
    ['noop', [{}], [null, { x: 1 }, []]],
    ['chain', [{}], [{ x: 1 }]],
    ['diamond', [{}], [{ x: 1 }]],
    ['fail', [{}], [{ x: 1 }]],
    ['crash', [{}], [{ x: 1 }]],
    ['fan', [{ width: 1 }, { width: 20_000 }], [{}, { width: 0 }, { width: 20_001 }, { width: 1.5 }, { width: '3' }, { width: 1, x: 1 }]],
    ['flaky', [{ failures: 0 }, { failures: 999 }], [{}, { failures: -1 }, { failures: 1_000 }, { failures: 0.5 }]],
    ['sleep', [{ ms: 0 }, { ms: 3_600_000 }], [{}, { ms: -1 }, { ms: 3_600_001 }, { ms: '1' }]],
    ['block', [{ ms: 0 }], [{ ms: -1 }]],
    ['ignore', [{ ms: 0 }], [{ ms: -1 }]],
    [
      'ledger',
      [
        { phases: 1, key: 'k' },
        { phases: 20_000, key: 'k' },
      ],
      [{ phases: 0, key: 'k' }, { phases: 20_001, key: 'k' }, { phases: 1, key: '' }, { phases: 1 }],
    ],
    ['steps', [{ steps: 1 }, { steps: 3, failAt: 3 }], [{ steps: 0 }, { steps: 3, failAt: 0 }, { steps: 3, failAt: 4 }]],
  ])('of %s are checked', (name, good, bad) => {
    const { input } = flowNamed(name);
    expect(good.filter((value) => !input.safeParse(value).success)).toEqual([]);
    expect(bad.filter((value) => input.safeParse(value).success)).toEqual([]);
  });
});

describe('the shapes of selftest flows', () => {
  it('are one, three in a row, a diamond', () => {
    expect(shape('noop', {}).map((phase) => phase.needs)).toEqual([[]]);
    expect(shape('chain', {}).map((phase) => phase.needs)).toEqual([[], [0], [1]]);
    expect(shape('diamond', {}).map((phase) => phase.needs)).toEqual([[], [0], [0], [1, 2]]);
  });

  it('are as wide and as long as the input says, up to the limit', () => {
    expect(shape('fan', { width: 20_000 }).filter((phase) => phase.needs.length === 0)).toHaveLength(20_000);
    const ledger = shape('ledger', { phases: 20_000, key: 'k' });
    expect([ledger.length, ledger.at(-1)?.needs]).toEqual([20_000, [19_998]]);
  });

  it('give a flow that fails one attempt, and a flaky one enough', () => {
    expect(shape('fail', {})[0]?.attemptMax).toBe(1);
    expect(shape('flaky', { failures: 999 })[0]?.attemptMax).toBe(1_000);
    expect(shape('steps', { steps: 1 })[0]?.attemptMax).toBeGreaterThan(1);
  });
});

describe('the handlers of selftest flows', () => {
  it('fail as often as asked and then succeed', async () => {
    await expect(runPhase('flaky', 'only', { input: { failures: 2 }, attempt: 2 })).rejects.toThrow('attempt 2 fails');
    expect(await runPhase('flaky', 'only', { input: { failures: 2 }, attempt: 3 })).toEqual({ attempt: 3 });
    await expect(runPhase('fail', 'only', { input: {} })).rejects.toThrow('as asked');
  });

  it('sleep, reporting how far they are, until their signal aborts', async () => {
    const reports: number[] = [];
    const stop = new AbortController();
    const progress = (fraction: number) => {
      reports.push(fraction);
    };
    expect(await runPhase('sleep', 'only', { input: { ms: 5 }, progress, signal: stop.signal })).toEqual({ ms: 5 });
    expect([reports[0], reports.at(-1)]).toEqual([0, 1]);
    const sleeping = runPhase('sleep', 'only', { input: { ms: 60_000 }, progress, signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(sleeping).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('write one row per phase through the transaction of the phase', async () => {
    const queries: unknown[] = [];
    const client = {
      query: (_sql: string, values?: readonly unknown[]) => {
        queries.push(values);
        return Promise.resolve({ rows: [], rowCount: 1 });
      },
    };
    const transaction = ((fn: (client: unknown) => Promise<unknown>) => fn(client)) as PhaseContext['transaction'];
    await runPhase('ledger', 'phase-2', { input: { phases: 2, key: 'k' }, phase: 'phase-2', transaction });
    expect(queries).toEqual([['k', 'phase-2']]);
  });
});
