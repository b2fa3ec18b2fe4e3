// Sends a write again while PostgreSQL is away: what a handler has done is worth waiting for, since nobody else can take its phase meanwhile.
import { setTimeout as delay } from 'node:timers/promises';
import { asAppError, isTransient } from '@millrace/store';

const GIVE_UP_MS = 60_000;
const RETRY_MS = 500;

/**
 * Only for writes that may be repeated: the answer of one that was carried out can be lost.
 * @param signal ends the wait between two tries, which then ends with the failure of the last.
 * @throws AppError dependency-unavailable after a minute without success. @throws every other failure of `send` as it is.
 */
export async function throughOutage<T>(send: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const giveUpAt = performance.now() + GIVE_UP_MS;
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!isTransient(error) || performance.now() > giveUpAt || signal?.aborted === true) throw asAppError(error);
      // An abort shows in the next pass.
      await delay(RETRY_MS * (0.5 + Math.random()), undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    }
  }
}
