// The right to end one attempt at a phase from outside, as a text that only this database can have made. Nothing of it is stored.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { BackoffPolicy } from '@millrace/shared';
import type { Queryable } from '../database.ts';

/**
 * What a token stands for: an attempt rather than a claim, so that it is the same when the attempt was interrupted and its request is sent
 * again. The backoff travels along because a failure may come before anything was written about the wait.
 */
export type CallbackRight = { phaseId: string; run: number; attempt: number; backoff: BackoffPolicy };

const TOKEN_PATTERN = /^mrcb_([A-Za-z0-9_-]{1,1000})\.([A-Za-z0-9_-]{43})$/;
/** Keeps these signatures apart from the cursors', which the same secret signs. */
const PURPOSE = 'millrace callback tokens';

/** The same text for the same right. */
export async function mintCallbackToken(on: Queryable, { phaseId, run, attempt, backoff }: CallbackRight): Promise<string> {
  const payload = Buffer.from(JSON.stringify([phaseId, run, attempt, backoff])).toString('base64url');
  return `mrcb_${payload}.${await sign(on, payload)}`;
}

/** Undefined when the text is no token of this database. Takes the same time for every wrong signature. */
export async function readCallbackToken(on: Queryable, token: string): Promise<CallbackRight | undefined> {
  const [, payload, signature] = TOKEN_PATTERN.exec(token) ?? [];
  if (payload === undefined || signature === undefined) return undefined;
  if (!timingSafeEqual(Buffer.from(signature), Buffer.from(await sign(on, payload)))) return undefined;
  // Signed, so it is what mintCallbackToken wrote.
  const [phaseId, run, attempt, backoff] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [
    string,
    number,
    number,
    BackoffPolicy,
  ];
  return { phaseId, run, attempt, backoff };
}

// Read each time: one row by its only key costs little beside a request to a service, and a restored database is another one at once.
async function sign(on: Queryable, payload: string): Promise<string> {
  const result = await on.query<{ cursor_secret: Buffer }>({
    name: 'callback-secret',
    text: 'SELECT cursor_secret FROM millrace.instance',
  });
  const secret = result.rows[0]?.cursor_secret;
  if (secret === undefined) throw new Error('millrace.instance has no row');
  const key = createHmac('sha256', secret).update(PURPOSE).digest();
  return createHmac('sha256', key).update(payload).digest('base64url');
}
