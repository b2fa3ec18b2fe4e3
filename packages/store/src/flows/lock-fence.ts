// Fences of named locks come from here, so that they rise also when Redis has forgotten every lock it ever gave.
import type { Queryable } from '../database.ts';
import { asAppError } from '../database.ts';

/** A number greater than any given out before. */
export async function nextLockFence(on: Queryable): Promise<number> {
  try {
    const result = await on.query<{ fence: string }>("SELECT nextval('millrace.lock_fences') AS fence");
    return Number(result.rows[0]?.fence);
  } catch (error) {
    throw asAppError(error);
  }
}
