import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { defineFlow, type FlowDefinition } from './define-flow.ts';
import { createFlowPlanner } from './flow-planner.ts';
import { createFlowRegistry } from './registry.ts';

const run = () => null;
const plannerOf = (definition: FlowDefinition) => createFlowPlanner(createFlowRegistry([definition]));

describe('a flow planner', () => {
  it('gives each flow the rate key of its own input', () => {
    const limits = { mail: [{ max: 1, per: '1s' }] } as const;
    const planner = plannerOf(
      defineFlow({
        name: 'f',
        version: 1,
        input: z.object({ account: z.string() }),
        limits,
        phases: { send: { rateLimit: { name: 'mail', key: ({ input }) => input.account }, run } },
      }),
    );
    const keyOf = (account: string) => {
      const plan = planner.plan('f', { account });
      return plan.kind === 'planned' ? plan.flow.phases[0]?.rateKey : plan;
    };
    expect([keyOf('a'), keyOf('b')]).toEqual(['mail:a', 'mail:b']);
  });

  it('says what is wrong with the times of a flow rather than fail', () => {
    const planner = plannerOf(defineFlow({ name: 'f', version: 1, input: z.unknown(), timeout: '30d', phases: { only: { run } } }));
    expect(planner.plan('f', {})).toEqual({
      kind: 'invalid-flow',
      faults: [{ phase: null, message: 'timeout must be a duration of at most 24 days' }],
    });
  });
});
