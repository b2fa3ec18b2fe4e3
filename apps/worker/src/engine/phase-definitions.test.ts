import { describe, expect, it } from '@jest/globals';
import { createFlowRegistry, defineFlow, type PhaseContext } from '@millrace/sdk';
import { memberId, newGroupId } from '@millrace/shared';
import type { ClaimedPhase } from '@millrace/store';
import { z } from 'zod';
import { createPhaseDefinitions } from './phase-definitions.ts';

const run = () => null;
let parsed = 0;
const fan = defineFlow({
  name: 'fan',
  version: 2,
  input: z.object({ width: z.coerce.number() }).transform((input) => {
    parsed += 1;
    return input;
  }),
  phases: ({ width }) => Object.fromEntries(Array.from({ length: width }, (_, index) => [`leaf-${index}`, { run }])),
});
const service = defineFlow({
  name: 'service',
  version: 1,
  input: z.unknown(),
  phases: { call: { http: { url: 'http://a.test' } }, wait: { waitFor: { signal: 'go' } } },
});
// As the part that makes requests would answer, told apart by the name of the phase.
const definitions = createPhaseDefinitions(createFlowRegistry([fan, service]), { asRun: (_, { name }) => ({ run: () => name }) });
const phase = (changes: Partial<ClaimedPhase> = {}): ClaimedPhase => {
  const flowId = newGroupId();
  return {
    id: memberId(flowId, 0),
    flowId,
    workspace: 'default',
    flow: 'fan',
    version: 2,
    run: 1,
    name: 'leaf-1',
    fence: 1,
    attempt: 1,
    attemptMax: 1,
    crashes: 0,
    generation: 1,
    priority: 50,
    createdBy: 'test',
    interruptedAt: null,
    input: { width: '3' },
    outputs: {},
    startedAt: new Date(0),
    ...changes,
  };
};

describe('the code for a claimed phase', () => {
  it('is found with the input as the definition parses it', () => {
    expect(definitions.find(phase())).toEqual({ kind: 'found', definition: { run }, input: { width: 3 } });
  });

  it('of one that calls a service is what makes the request', () => {
    const found = definitions.find(phase({ flow: 'service', version: 1, name: 'call' }));
    expect(found.kind === 'found' && found.definition.run({} as PhaseContext)).toBe('call');
  });

  it.each<[string, Partial<ClaimedPhase>, string]>([
    ['the flow', { flow: 'other' }, 'unknown-flow'],
    ['the version, older', { version: 1 }, 'unknown-version'],
    ['the version, newer', { version: 3 }, 'unknown-version'],
    ['the phase', { name: 'leaf-3' }, 'unknown-phase'],
    ['a phase that waits for a signal', { flow: 'service', version: 1, name: 'wait' }, 'unknown-phase'],
    ['a phase named like a method of every object', { name: 'toString' }, 'unknown-phase'],
  ])('is not found when %s is not known here', (_, changes, reason) => {
    expect(definitions.find(phase(changes))).toEqual({ kind: 'unknown', reason });
  });

  it('is prepared once for all phases of a flow', () => {
    const first = phase();
    const before = parsed;
    definitions.find(first);
    definitions.find({ ...first, name: 'leaf-2' });
    expect(parsed).toBe(before + 1);
  });

  it('throws when the stored input does not fit the schema any more', () => {
    expect(() => definitions.find(phase({ input: { width: 'wide' } }))).toThrow();
  });
});
