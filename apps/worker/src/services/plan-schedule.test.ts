// What a definition makes of a schedule's flow, and what is said when it makes none.
import { describe, expect, it } from '@jest/globals';
import { createFlowPlanner, createFlowRegistry, defineFlow } from '@millrace/sdk';
import { z } from 'zod';
import { createSchedulePlan } from './plan-schedule.ts';

const run = () => null;
const plan = createSchedulePlan(
  createFlowPlanner(
    createFlowRegistry([
      defineFlow({ name: 'plain', version: 1, input: z.object({}), phases: { only: { run } } }),
      defineFlow({ name: 'plain', version: 2, input: z.object({ n: z.int() }), timeout: '1h', expiresIn: '5m', phases: { only: { run } } }),
      defineFlow({ name: 'cycle', version: 1, input: z.unknown(), phases: { a: { needs: ['b'], run }, b: { needs: ['a'], run } } }),
      defineFlow({
        name: 'throws',
        version: 1,
        input: z.unknown(),
        phases: () => {
          throw new Error('not today '.repeat(200));
        },
      }),
    ]),
  ),
);

describe('the plan of a schedule', () => {
  it('is made of the latest version, with its limits', () => {
    expect(plan({ flow: 'plain', input: { n: 1 } })).toMatchObject({
      kind: 'planned',
      version: 2,
      phases: [{ name: 'only' }],
      timeoutMs: 3_600_000,
      expiresInMs: 300_000,
    });
  });

  it.each([
    ['gone', {}, /^no flow definition has the name gone$/],
    ['plain', { n: 'one' }, /^the input does not fit flow plain: \/n .*number/],
    ['cycle', {}, /^the phases of flow cycle do not fit together: a: /],
    ['throws', {}, /^flow throws could not be planned: not today /],
  ])('fails with a reason for people (%s)', (flow, input, reason) => {
    const made = plan({ flow, input });
    expect(made).toEqual({ kind: 'failed', reason: expect.stringMatching(reason) });
    expect(made.kind === 'failed' ? made.reason.length : 0).toBeLessThanOrEqual(500);
  });
});
