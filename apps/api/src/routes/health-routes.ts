// What probes and Prometheus ask. Open to everybody, but for details about Redis and the figures: those are for this machine or for keys.
import { livenessSchema, readinessSchema, redisHealthSchema } from '@millrace/shared';
import { withTimeout } from '@millrace/process';
import type { Readiness } from '../health/readiness.ts';
import { definePublicRoute, type Route } from '../http/route.ts';

export type HealthRoutesDeps = {
  readiness: Pick<Readiness, 'check'>;
  redis: { isReady(): boolean; ping(): Promise<void>; waitingCounts(): Promise<Record<string, number>> };
  metricsText(): Promise<{ contentType: string; text: string }>;
};

const TAG = 'Health';
const PING_TIMEOUT_MS = 1_000;

export function healthRoutes(deps: HealthRoutesDeps): Route[] {
  return [
    definePublicRoute({
      method: 'get',
      path: '/health/live',
      operationId: 'readLiveness',
      summary: 'Whether the process runs',
      tag: TAG,
      responses: { 200: { description: 'It does', schema: livenessSchema } },
      errors: [],
      handler: () => Promise.resolve({ status: 200, body: { status: 'ok' } }),
    }),
    definePublicRoute({
      method: 'get',
      path: '/health/ready',
      operationId: 'readReadiness',
      summary: 'Whether work can be accepted',
      description: '503 when PostgreSQL is away, is not migrated to the schema of this code, or the process is stopping.',
      tag: TAG,
      responses: { 200: { description: '`degraded`: Redis is away', schema: readinessSchema } },
      errors: [],
      handler: async () => ({ status: 200, body: await deps.readiness.check() }),
    }),
    definePublicRoute({
      method: 'get',
      path: '/health/redis',
      operationId: 'readRedisHealth',
      summary: 'How Redis is',
      tag: TAG,
      responses: { 200: { description: 'Also while it is away', schema: redisHealthSchema } },
      errors: [],
      handler: async () => ({ status: 200, body: await redisHealth(deps.redis) }),
    }),
    definePublicRoute({
      method: 'get',
      path: '/metrics',
      operationId: 'readMetrics',
      summary: 'Figures for Prometheus',
      tag: TAG,
      responses: { 200: { description: 'Prometheus text format', contentTypes: ['text/plain'] } },
      errors: [],
      handler: async () => {
        const { contentType, text } = await deps.metricsText();
        return { status: 200, body: text, headers: { 'content-type': contentType } };
      },
    }),
  ];
}

async function redisHealth(redis: HealthRoutesDeps['redis']) {
  if (!redis.isReady()) return { status: 'away', pingMs: null, queues: {} };
  const startedAt = performance.now();
  try {
    await withTimeout(redis.ping(), PING_TIMEOUT_MS);
    const pingMs = Math.round((performance.now() - startedAt) * 1_000) / 1_000;
    return { status: 'ok', pingMs, queues: await withTimeout(redis.waitingCounts(), PING_TIMEOUT_MS) };
  } catch {
    // That it does not answer is the answer.
    return { status: 'away', pingMs: null, queues: {} };
  }
}
