// The Idempotency-Key header and the fingerprint of the body it stands for.
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { AppError, canonicalJson, LIMITS } from '@millrace/shared';
import type { z } from 'zod';

const KEY_PATTERN = new RegExp(`^[\\x21-\\x7e]{1,${LIMITS.idempotencyKeyCharsMax}}$`);

/** True for 1 to 255 visible ASCII characters. */
export function isIdempotencyKey(text: string): boolean {
  return KEY_PATTERN.test(text);
}

/**
 * Null when the header is absent. Two headers arrive joined by a comma and a space, which no key may contain.
 * @throws AppError idempotency-key-invalid
 */
export function idempotencyKeyOf(headers: IncomingHttpHeaders): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key !== 'string' || !isIdempotencyKey(key)) throw new AppError('idempotency-key-invalid');
  return key;
}

/** SHA-256 of the body's canonical JSON: the same for the same value whatever the order of its keys. */
export function bodyHashOf(body: unknown): Buffer {
  return hash('sha256', canonicalJson(body), 'buffer');
}

/** A kept answer as it was given the first time, byte for byte: jsonb does not keep the order of keys, the schema does. */
export function replayedBody(schema: z.ZodType, kept: unknown): unknown {
  const parsed = schema.safeParse(kept);
  // Another version of this code may have given it; then its own order is lost, its content is not.
  return parsed.success ? parsed.data : kept;
}
