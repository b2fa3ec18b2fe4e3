// ctx.rateLimit: takes units of a limit, waits in place while that is short, and else gives the worker back until they are there.
import { setTimeout as delay } from 'node:timers/promises';
import { durationMs, limitKeyOf } from '@millrace/shared';
import { PermanentError, type RateLimitOptions } from '@millrace/sdk';
import type { ClaimedPhase, TokenRequest } from '@millrace/store';
import { RateLimited } from '../outcome.ts';
import type { RateTaker } from './rate-taker.ts';

export type RateLimitDeps = { rates: RateTaker; phase: ClaimedPhase; signal: AbortSignal };
export type RateLimitCall = { name: string; units: number; options: RateLimitOptions };

const WAIT_MS = 1_000;
/** Those who come too early when it is their turn come again spread over so much of the delay, so that they do not all come at once. */
const SPREAD = 0.2;

/**
 * True once the units are taken; false when `wait` says to return.
 * @throws RateLimited when that takes longer than is waited for. @throws PermanentError for a call that can never succeed.
 */
export async function takeRateLimit({ rates, phase, signal }: RateLimitDeps, call: RateLimitCall): Promise<boolean> {
  const request = toRequest({ rates, phase }, call);
  const { wait = WAIT_MS } = call.options;
  let leftMs = wait === 'return' ? 0 : durationMs(wait);
  // Who came back from the line keeps its turn rather than stand at the end of it again: others may only have been a little late.
  const canLineUp = wait !== 'return' && phase.interruptedAt === null;
  for (;;) {
    signal.throwIfAborted();
    const answer = await rates.take({ ...request, lineUpAfterMs: canLineUp ? leftMs : null });
    if (answer.taken) return true;
    const { retryInMs } = answer;
    if (retryInMs === null)
      throw new PermanentError(`${request.units} units of the rate limit "${call.name}" are more than one of its windows ever holds`);
    if (wait === 'return') return false;
    if (retryInMs > leftMs) throw new RateLimited(call.name, canLineUp ? retryInMs : Math.ceil(retryInMs * (1 + SPREAD * Math.random())));
    leftMs -= retryInMs;
    await delay(retryInMs, undefined, { signal });
  }
}

function toRequest(
  { rates, phase }: Pick<RateLimitDeps, 'rates' | 'phase'>,
  { name, units, options }: RateLimitCall,
): Omit<TokenRequest, 'lineUpAfterMs'> {
  const windows = rates.windowsOf(phase, name);
  if (windows === undefined) throw new PermanentError(`the flow has no rate limit "${name}"`);
  if (!Number.isSafeInteger(units) || units < 1) throw new PermanentError('the units of a rate limit must be a positive integer');
  const key = limitKeyOf(name, options.key);
  if (key.includes('\0')) throw new PermanentError('the key of a rate limit must not hold NUL');
  return { workspace: phase.workspace, key, windows, units };
}
