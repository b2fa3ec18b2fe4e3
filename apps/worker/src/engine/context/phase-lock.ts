// ctx.lock: a named lock shared by all processes, renewed while its holder works, with a fence that rises for ever.
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, durationMs, newId } from '@millrace/shared';
import { PermanentError, type LockOptions } from '@millrace/sdk';
import type { Keys, LockRequest, Locks } from '@millrace/redis';
import { nextLockFence, type Database } from '@millrace/store';
import { LockUnavailable } from '../outcome.ts';

export type NamedLockDeps = { locks: Locks; keys: Keys; database: Database };
/** `left` aborts when the handler was left where it waits: what it holds is given back then. */
export type LockHolder = { workspace: string; token: string; signal: AbortSignal; left: AbortSignal };

type Lease = { signal: AbortSignal; fence: number };
type NamedLockRequest<T> = { resource: string; options: LockOptions; fn: (lease: Lease) => Promise<T> | T };

/** Of the time to live, counted from the start of the last renewal that succeeded. */
const TRUSTED_SHARE = 0.85;
const DEFAULTS = { ttl: '30s', tries: 10, retryDelay: '100ms' } as const;

/** Locks that the function which runs now has taken further out, by key: it may take them again. */
const heldOutside = new AsyncLocalStorage<ReadonlyMap<string, Lease>>();

/**
 * Runs `fn` while holding the lock. Its `signal` aborts when the phase must stop or the lock could not be renewed. Every call is a holder
 * of its own, also within one handler, but for one inside `fn`: that goes on under the lock it has.
 * @throws LockUnavailable when all tries failed. @throws AppError dependency-unavailable when Redis is away.
 */
export async function withNamedLock<T>(deps: NamedLockDeps, holder: LockHolder, request: NamedLockRequest<T>): Promise<T> {
  const lock: LockRequest = { key: deps.keys.lock(holder.workspace, request.resource), token: `${holder.token}/${newId()}` };
  const outside = heldOutside.getStore();
  const outer = outside?.get(lock.key);
  if (outer !== undefined) return request.fn(outer);
  const ttlMs = durationMs(request.options.ttl ?? DEFAULTS.ttl);
  if (ttlMs < 1) throw new PermanentError('the ttl of a lock must be at least 1 ms');
  await acquire(deps, { lock, ttlMs, holder, request });
  if (holder.left.aborted) {
    // The handler was left while this was on its way: nobody would ever give the lock back.
    await deps.locks.release([lock]).catch(() => undefined);
    throw new LockUnavailable(request.resource);
  }
  const lost = new AbortController();
  let renewedAtMs = performance.now();
  const lose = () => {
    lost.abort(new Error(`the lock "${request.resource}" was lost`));
  };
  const renewal = setInterval(() => {
    const triedAtMs = performance.now();
    deps.locks.renew([lock], ttlMs).then(
      ([held]) => {
        renewedAtMs = triedAtMs;
        if (held !== true) lose();
      },
      // Redis is away: the lock lives on until its end, and the next renewal tries again, as long as there is one before that end.
      () => {
        if (performance.now() - renewedAtMs > ttlMs * TRUSTED_SHARE) lose();
      },
    );
  }, ttlMs / 3);
  const held = new Map(outside);
  const giveBack = async () => {
    clearInterval(renewal);
    // What `fn` left unawaited does not hold the lock any more.
    held.delete(lock.key);
    await deps.locks.release([lock]).catch(() => undefined);
  };
  const onLeft = () => void giveBack();
  holder.left.addEventListener('abort', onLeft, { once: true });
  try {
    const lease: Lease = { signal: AbortSignal.any([holder.signal, lost.signal]), fence: await nextLockFence(deps.database.main) };
    held.set(lock.key, lease);
    return await heldOutside.run(held, async () => request.fn(lease));
  } finally {
    holder.left.removeEventListener('abort', onLeft);
    await giveBack();
  }
}

async function acquire(
  deps: NamedLockDeps,
  {
    lock,
    ttlMs,
    holder,
    request,
  }: { lock: LockRequest; ttlMs: number; holder: LockHolder; request: { resource: string; options: LockOptions } },
): Promise<void> {
  const tries = request.options.tries ?? DEFAULTS.tries;
  const retryMs = durationMs(request.options.retryDelay ?? DEFAULTS.retryDelay);
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const [held] = await deps.locks.acquire([lock], ttlMs).catch((error: unknown) => {
      throw new AppError('dependency-unavailable', { detail: 'Redis is not available.' }, { cause: error });
    });
    if (held === true) return;
    // Half to one and a half of the delay, so that those who wait do not come back in step.
    if (attempt < tries) await delay(retryMs * (0.5 + Math.random()), undefined, { signal: holder.signal });
  }
  throw new LockUnavailable(request.resource);
}
