// The first step of every request: is the address sane, and who is calling. Runs before any route is looked for, so that an
// unknown path below /v1 tells nothing to a caller without a key.
import { AppError, type Principal } from '@millrace/shared';
import { LIMITS } from '@millrace/shared';
import type { IncomingMessage } from 'node:http';
import type { Authenticator } from '../auth/authenticator.ts';

/** More than this many headers is nobody's honest request; Node would silently drop those beyond its own limit. */
const HEADERS_MAX = 100;

/** What is wrong with the address or headers as such, with the status that HTTP has for it. */
export function addressFault(request: IncomingMessage): { status: 414 | 431; error: AppError } | undefined {
  if ((request.url ?? '').length > LIMITS.urlBytesMax)
    return {
      status: 414,
      error: new AppError('payload-too-large', { detail: `The address may have at most ${LIMITS.urlBytesMax} bytes.` }),
    };
  if (request.rawHeaders.length > 2 * HEADERS_MAX)
    return { status: 431, error: new AppError('payload-too-large', { detail: `A request may have at most ${HEADERS_MAX} headers.` }) };
  return undefined;
}

/** Whether the path lies below /v1, where nothing is answered without a key. */
export function isApiPath(url: string): boolean {
  return url.startsWith('/v1') && (url.length === 3 || url[3] === '/' || url[3] === '?');
}

/** Below /v1, but opened by a token of the request that is answered rather than by a key. */
export const CALLBACK_PATH = '/v1/callbacks';

export function isCallbackPath(url: string): boolean {
  return url === CALLBACK_PATH || url.startsWith(`${CALLBACK_PATH}?`);
}

/**
 * The text after `Bearer` of the only Authorization header.
 * @throws AppError unauthorized
 */
export function bearerOf(request: IncomingMessage): string {
  const token = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined || hasTwo(request.rawHeaders, 'authorization')) throw new AppError('unauthorized');
  return token;
}

/** True when the connection comes from this machine itself. Headers that claim an address are ignored. */
export function isLoopback(request: IncomingMessage): boolean {
  const address = request.socket.remoteAddress ?? '';
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/**
 * The principal of the Authorization header.
 * @throws AppError unauthorized; dependency-unavailable when the key cannot be looked up
 */
export function findCaller(request: IncomingMessage, authenticator: Authenticator): Principal | Promise<Principal> {
  const header = request.headers.authorization;
  if (header === undefined || hasTwo(request.rawHeaders, 'authorization')) throw new AppError('unauthorized');
  return authenticator.authenticate(header);
}

// Node keeps the first of two Authorization headers; a proxy might have looked at the second.
function hasTwo(rawHeaders: readonly string[], name: string): boolean {
  let found = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index];
    if (header?.length === name.length && header.toLowerCase() === name) found += 1;
  }
  return found > 1;
}
