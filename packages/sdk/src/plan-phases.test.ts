import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { defineFlow, type PhaseDefinition, type PhaseTable } from './define-flow.ts';
import { planPhases, type PhasePlan } from './plan-phases.ts';

const run = () => null;
const plan = (phases: PhaseTable<unknown> | ((input: unknown) => PhaseTable<unknown>), input: unknown = {}): PhasePlan =>
  planPhases(defineFlow({ name: 'f', version: 1, input: z.unknown(), phases }), input);
const faultsOf = (phases: PhaseTable<unknown>) => {
  const planned = plan(phases);
  return planned.ok ? [] : planned.faults.map((fault) => [fault.phase, fault.message]);
};
const faultOfOne = (phase: Partial<PhaseDefinition>) => faultsOf({ only: { run, ...phase } as PhaseDefinition });

const runs = { signal: null, waitTimeoutMs: null, rateKey: null };

describe('planPhases', () => {
  it('numbers phases in the order they are written, with what each needs and what waits for it', () => {
    expect(
      plan({ a: { run }, b: { needs: ['a'], run }, c: { needs: ['a'], run, retry: { attempts: 9 } }, d: { needs: ['c', 'b'], run } }),
    ).toEqual({
      ok: true,
      phases: [
        { name: 'a', ordinal: 0, needs: [], dependants: [1, 2], attemptMax: 4, ...runs },
        { name: 'b', ordinal: 1, needs: [0], dependants: [3], attemptMax: 4, ...runs },
        { name: 'c', ordinal: 2, needs: [0], dependants: [3], attemptMax: 9, ...runs },
        { name: 'd', ordinal: 3, needs: [2, 1], dependants: [], attemptMax: 4, ...runs },
      ],
    });
  });

  it('plans a phase that waits for a signal, for ever or for a time', () => {
    const planned = plan({ a: { waitFor: { signal: 'go' } }, b: { needs: ['a'], waitFor: { signal: 'approved', timeout: '3d' } } });
    expect(planned).toMatchObject({
      ok: true,
      phases: [
        { signal: 'go', waitTimeoutMs: null },
        { signal: 'approved', waitTimeoutMs: 259_200_000 },
      ],
    });
  });

  it('refuses a wait for a signal without a proper name, or for too long', () => {
    expect(faultsOf({ a: { waitFor: { signal: 'a/b', timeout: '25d' } } })).toEqual([
      ['a', 'the signal it waits for must be named like a phase'],
      ['a', 'waitFor.timeout must be a duration of at most 24 days'],
    ]);
  });

  it('lets a phase need one that is written after it', () => {
    expect(plan({ last: { needs: ['first'], run }, first: { run } })).toMatchObject({
      ok: true,
      phases: [{ needs: [1] }, { dependants: [0] }],
    });
  });

  it('makes phases from the input', () => {
    const planned = plan((input) => Object.fromEntries((input as string[]).map((name) => [name, { run }])), ['x', 'y']);
    expect(planned.ok && planned.phases.map((phase) => phase.name)).toEqual(['x', 'y']);
  });

  it('refuses a flow without phases', () => {
    expect(faultsOf({})).toEqual([[null, 'a flow needs at least one phase']]);
  });

  it('allows 20,000 phases and not one more', () => {
    const wide = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, { run }]));
    expect(plan(wide(20_000)).ok).toBe(true);
    expect(faultsOf(wide(20_001))).toEqual([[null, 'a flow has at most 20000 phases, this one has 20001']]);
  });

  it('plans a chain of 20,000 without recursion', () => {
    const chain = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, index) => [`p${index}`, { run, ...(index === 0 ? {} : { needs: [`p${index - 1}`] }) }]),
    );
    expect(plan(chain).ok).toBe(true);
  });

  it('refuses a phase that needs itself', () => {
    expect(faultsOf({ a: { needs: ['a'], run } })).toEqual([['a', expect.stringContaining('needs itself')]]);
  });

  it('refuses a cycle and names the phases on it', () => {
    const faults = faultsOf({ start: { run }, a: { needs: ['c', 'start'], run }, b: { needs: ['a'], run }, c: { needs: ['b'], run } });
    expect(faults.map(([phase]) => phase)).toEqual(['a', 'b', 'c']);
  });

  it('does not name phases that merely lie before or behind a cycle', () => {
    const faults = faultsOf({
      before: { run },
      a: { needs: ['before', 'b'], run },
      b: { needs: ['a'], run },
      behind: { needs: ['b'], run },
      last: { needs: ['behind'], run },
      own: { needs: ['own', 'last'], run },
    });
    expect(faults.map(([phase]) => phase)).toEqual(['a', 'b', 'own']);
  });

  it('finds a circle of 20,000 without recursion', () => {
    const circle = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`p${n}`, { run, needs: [`p${(n + 19_999) % 20_000}`] }]));
    expect(faultsOf(circle)).toHaveLength(20_000);
  });

  it('names exactly the phases that can be reached from themselves', () => {
    const graph = fc.array(fc.uniqueArray(fc.nat(7), { maxLength: 3 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(graph, (drawn) => {
        const needs = drawn.map((list) => [...new Set(list.map((need) => need % drawn.length))]);
        const reaches = (from: number, to: number, seen = new Set<number>()): boolean =>
          (needs[from] ?? []).some((need) => need === to || (!seen.has(need) && reaches(need, to, seen.add(need))));
        const table = Object.fromEntries(needs.map((list, n) => [`p${n}`, { run, needs: list.map((need) => `p${need}`) }]));
        const expected = needs.flatMap((_, n) => (reaches(n, n) ? [`p${n}`] : []));
        expect(faultsOf(table).map(([phase]) => phase)).toEqual(expected);
      }),
    );
  });

  it.each(['when', 'retry', 'timeout', 'lock', 'rateLimit', 'run'])('refuses %s on a phase that waits for a signal', (field) => {
    expect(faultsOf({ a: { waitFor: { signal: 'go' }, [field]: () => false } })).toEqual([
      ['a', `${field} has no meaning for a phase that waits for a signal`],
    ]);
  });

  it.each([
    ['timeout', '25d', '24 days'],
    ['timeout', 'soon', '24 days'],
    ['expiresIn', '1 hour', 'ten years'],
    ['expiresIn', '3651d', 'ten years'],
  ])('refuses the %s %j of a flow', (field, duration, most) => {
    const planned = planPhases({ name: 'f', version: 1, input: z.unknown(), phases: { a: { run } }, [field]: duration }, {});
    expect(planned).toEqual({ ok: false, faults: [{ phase: null, message: `${field} must be a duration of at most ${most}` }] });
  });

  it('refuses a flow that must end in no time', () => {
    const planned = planPhases({ name: 'f', version: 1, input: z.unknown(), phases: { a: { run } }, timeout: 0 }, {});
    expect(planned).toEqual({ ok: false, faults: [{ phase: null, message: 'timeout must be longer than nothing' }] });
  });

  it('gives the input read-only to what makes phases of it', () => {
    expect(() => plan((input) => ({ [(input as string[]).splice(0).join('')]: { run } }), ['x', 'y'])).toThrow(TypeError);
  });

  it.each(['missing', 'toString', '__proto__', 'constructor'])('refuses the need of %j, which is no phase', (need) => {
    expect(faultOfOne({ needs: [need] })).toEqual([['only', `it needs "${need}", which is no phase of this flow`]]);
  });

  it('refuses a need that is named twice', () => {
    expect(faultsOf({ a: { run }, b: { needs: ['a', 'a'], run } })).toEqual([['b', 'it names a phase twice in needs']]);
  });

  it.each(['', '1a', '_a', 'a b', 'a/b', 'é', `a${'x'.repeat(100)}`])('refuses the name %j', (name) => {
    expect(faultsOf({ [name]: { run } })).toEqual([[name, expect.stringContaining('its name must')]]);
  });

  it('tells all faults at once', () => {
    expect(faultsOf({ '1': { run }, a: { needs: ['x', 'x'], run, retry: { attempts: 0 } } }).map(([phase]) => phase)).toEqual([
      '1',
      'a',
      'a',
      'a',
      'a',
    ]);
  });
});

describe('the numbers of a phase', () => {
  it.each([0, -1, 1.5, 1_001, Number.NaN])('refuse %p attempts', (attempts) => {
    expect(faultOfOne({ retry: { attempts } })).toEqual([['only', 'retry.attempts must be an integer from 1 to 1000']]);
  });

  it.each([
    ['a delay that is no duration', { retry: { backoff: { type: 'fixed', delay: '10 seconds' } } }, 'retry.backoff.delay'],
    ['a cap that is negative', { retry: { backoff: { type: 'fixed', delay: '1s', max: -1 } } }, 'retry.backoff.max'],
    ['a jitter above one', { retry: { backoff: { type: 'fixed', delay: '1s', jitter: 1.1 } } }, 'retry.backoff.jitter'],
    ['a jitter that is negative', { retry: { backoff: { type: 'fixed', delay: '1s', jitter: -0.1 } } }, 'retry.backoff.jitter'],
    ['a soft limit that is no duration', { timeout: { soft: '1 min' } }, 'timeout.soft'],
    ['a hard limit that no timer can hold', { timeout: { hard: '25d' } }, 'timeout.hard'],
    ['a soft limit of no time', { timeout: { soft: '0s' } }, 'timeout.soft must be longer than nothing'],
    ['a hard limit of no time', { timeout: { hard: 0 } }, 'timeout.hard must be longer than nothing'],
  ])('refuse %s', (_, phase, field) => {
    expect(faultOfOne(phase as Partial<PhaseDefinition>)).toEqual([['only', expect.stringContaining(field)]]);
  });

  it.each([0, 63, 64.5, 65_537, Number.NaN])('refuse %p MB for an isolated phase', (memoryMb) => {
    expect(faultOfOne({ isolate: { memoryMb } })).toEqual([['only', 'isolate.memoryMb must be an integer from 64 to 65536']]);
  });

  it.each([true, false, {}, { memoryMb: 64 }])('allow isolate: %j', (isolate) => {
    expect(faultOfOne({ isolate })).toEqual([]);
  });

  it('allow a hard limit of 24 days', () => {
    expect(faultOfOne({ timeout: { hard: '24d' } })).toEqual([]);
  });
});

describe('any graph without a way back', () => {
  const graph = fc.array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 30 });
  const tableOf = (needs: number[][]): PhaseTable<unknown> =>
    Object.fromEntries(
      needs.map((list, index) => [
        `p${index}`,
        { run, needs: [...new Set(list.map((n) => n % index || 0).filter((n) => n < index))].map((n) => `p${n}`) },
      ]),
    );

  it('is planned with needs and dependants that mirror each other', () => {
    fc.assert(
      fc.property(graph, (needs) => {
        const planned = plan(tableOf(needs));
        if (!planned.ok) throw new Error(JSON.stringify(planned.faults));
        const forth = planned.phases.flatMap((phase) => phase.needs.map((need) => `${need}>${phase.ordinal}`));
        const back = planned.phases.flatMap((phase) => phase.dependants.map((dependant) => `${phase.ordinal}>${dependant}`));
        expect(forth.toSorted()).toEqual(back.toSorted());
      }),
    );
  });
});
