// ctx.lock: a named lock shared by all processes, renewed while its holder works, with a fence that rises for ever.
import { setTimeout as delay } from 'node:timers/promises';
import { durationMs } from '@millrace/shared';
import type { LockOptions } from '@millrace/sdk';
import type { Keys, LockRequest, Locks } from '@millrace/redis';
import { nextLockFence, type Database } from '@millrace/store';
import { LockUnavailable } from '../outcome.ts';

export type NamedLockDeps = { locks: Locks; keys: Keys; database: Database };
export type LockHolder = { workspace: string; token: string; signal: AbortSignal };

const DEFAULTS = { ttl: '30s', tries: 10, retryDelay: '100ms' } as const;

/**
 * Runs `fn` while holding the lock. Its `signal` aborts when the phase must stop or the lock could not be renewed.
 * @throws LockUnavailable when all tries failed.
 */
export async function withNamedLock<T>(
  deps: NamedLockDeps,
  holder: LockHolder,
  request: { resource: string; options: LockOptions; fn: (lease: { signal: AbortSignal; fence: number }) => Promise<T> | T },
): Promise<T> {
  const lock: LockRequest = { key: deps.keys.lock(holder.workspace, request.resource), token: holder.token };
  const ttlMs = durationMs(request.options.ttl ?? DEFAULTS.ttl);
  await acquire(deps, { lock, ttlMs, holder, request });
  const lost = new AbortController();
  const renewal = setInterval(() => {
    deps.locks.renew([lock], ttlMs).then(
      ([held]) => { if (held !== true) lost.abort(new Error(`the lock "${request.resource}" was lost`)); },
      // Redis is away: the lock lives on until its end, and the next renewal tries again.
      () => undefined,
    );
  }, ttlMs / 3);
  try {
    return await request.fn({ signal: AbortSignal.any([holder.signal, lost.signal]), fence: await nextLockFence(deps.database.main) });
  } finally {
    clearInterval(renewal);
    await deps.locks.release([lock]).catch(() => undefined);
  }
}

async function acquire(deps: NamedLockDeps, { lock, ttlMs, holder, request }: { lock: LockRequest; ttlMs: number; holder: LockHolder; request: { resource: string; options: LockOptions } }): Promise<void> {
  const tries = request.options.tries ?? DEFAULTS.tries;
  const retryMs = durationMs(request.options.retryDelay ?? DEFAULTS.retryDelay);
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const [held] = await deps.locks.acquire([lock], ttlMs);
    if (held === true) return;
    // Half to one and a half of the delay, so that those who wait do not come back in step.
    if (attempt < tries) await delay(retryMs * (0.5 + Math.random()), undefined, { signal: holder.signal });
  }
  throw new LockUnavailable(request.resource);
}
