// What the health routes say.
import { z } from 'zod';

const partSchema = z.enum(['ok', 'away']);

export const livenessSchema = z.object({ status: z.literal('ok') });

/** `degraded`: work is accepted and kept in PostgreSQL, but Redis is away. */
export const readinessSchema = z.object({
  status: z.enum(['ok', 'degraded']),
  parts: z.object({ postgres: partSchema, redis: partSchema }),
});

export const redisHealthSchema = z.object({
  status: partSchema,
  pingMs: z.number().nullable(),
  queues: z.record(z.string(), z.int()).meta({ description: 'Jobs waiting in each queue' }),
});
