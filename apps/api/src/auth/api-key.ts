// How an API key is written: `mr_<id>_<secret>`. The id finds the row, the secret proves the right to it; only its hash is kept.
import { createHmac, hash, randomBytes } from 'node:crypto';

const SECRET_BYTES = 32;
const KEY_PATTERN = /^mr_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})_([A-Za-z0-9_-]{43})$/;

/** A new secret of 256 random bits as 43 base64url characters, and its hash. */
export function newSecret(): { secret: string; secretHash: Buffer } {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return { secret, secretHash: sha256(secret) };
}

/**
 * The secret of a key that was asked for with an Idempotency-Key, the same for each replay. Made from a random seed, which the server keeps
 * for as long as it answers replays, and the key of the caller, which it does not have: neither of them alone gives the secret away.
 */
export function repeatableSecret(seed: string, callerKey: string): { secret: string; secretHash: Buffer } {
  if (callerKey === '') throw new Error('a repeatable secret needs the key of the caller');
  const secret = createHmac('sha256', callerKey).update(`millrace key ${seed}`).digest('base64url');
  return { secret, secretHash: sha256(secret) };
}

/** @param id a UUID */
export function formatApiKey({ id, secret }: { id: string; secret: string }): string {
  return `mr_${id.replaceAll('-', '')}_${secret}`;
}

/** Undefined when the text is not written like one of our keys. */
export function parseApiKey(text: string): { id: string; secret: string } | undefined {
  const match = KEY_PATTERN.exec(text);
  if (match === null) return undefined;
  return { id: match.slice(1, 6).join('-'), secret: match[6] ?? '' };
}

export function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
