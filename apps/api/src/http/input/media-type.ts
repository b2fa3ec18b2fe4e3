// Which media type a request declares, and whether it is one we read.
import type { IncomingMessage } from 'node:http';
import { AppError } from '@millrace/shared';

const PARAMETERS_PATTERN = /^\s*charset\s*=\s*"?utf-?8"?\s*$/i;

/**
 * The declared type in lower case without parameters, when it is among the accepted ones, its only parameter is charset=utf-8 and the body is not compressed.
 * @throws AppError unsupported-media-type
 */
export function requireMediaType(request: IncomingMessage, accepted: readonly string[]): string {
  const declared = request.headers['content-type'] ?? '';
  if (request.headers['content-encoding'] !== undefined && request.headers['content-encoding'].toLowerCase() !== 'identity') {
    throw new AppError('unsupported-media-type', { detail: 'Compressed bodies are not read here.' });
  }
  if (accepted.includes(declared)) return declared;
  const [type = '', ...parameters] = declared.split(';');
  const name = type.trim().toLowerCase();
  if (accepted.includes(name) && parameters.every((parameter) => PARAMETERS_PATTERN.test(parameter))) return name;
  throw new AppError('unsupported-media-type', { detail: `Send ${accepted.join(' or ')} in UTF-8.` });
}
