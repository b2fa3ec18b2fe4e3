// Why a flow does not go on: one cause from a closed list.
import { z } from 'zod';
import { instantSchema } from './common.ts';

/** In the order in which they are looked for: the first that holds is the one that is named. */
export const EXPLAIN_CAUSES = [
  'finished',
  'paused',
  'queue-paused',
  'scheduled',
  'limit-full',
  'rate-limited',
  'waiting-for-signal',
  'sleeping',
  'waiting-for-children',
  'waiting-for-callback',
  'retrying',
  'no-worker',
  'redis-away',
  'waiting-for-time',
  'in-queue',
  'lost-lease',
  'running',
] as const;
export type ExplainCause = (typeof EXPLAIN_CAUSES)[number];

const BLOCKER_KINDS = [
  'key',
  'flow',
  'phase',
  'queue',
  'signal',
  'concurrency-key',
  'rate-limit',
  'definition',
  'worker',
  'redis',
] as const;
export type BlockerKind = (typeof BLOCKER_KINDS)[number];

export const explainSchema = z
  .object({
    cause: z.enum(EXPLAIN_CAUSES),
    detail: z.string().meta({ description: 'For people' }),
    blockedBy: z.array(z.object({ kind: z.enum(BLOCKER_KINDS), id: z.string() })),
    clearsAt: instantSchema.nullable().meta({ description: 'When it clears by itself at the latest, if that is known' }),
  })
  .meta({ id: 'Explanation', title: 'Explanation' });
export type ExplainAnswer = z.infer<typeof explainSchema>;
