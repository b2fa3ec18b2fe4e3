// JSON logs on stdout, one line each, without secrets.
import { pino } from 'pino';
import type { Logger } from 'pino';

export type { Logger } from 'pino';

/** Fields that never reach a log line, wherever they sit in an object up to two levels deep. */
const REDACTED_FIELDS = ['authorization', 'password', 'secret', 'key', 'token', 'cookie', 'databaseUrl', 'redisUrl', 'adminKey'];
/** The password of an address, which may stand in the middle of any text, such as the message of an error. */
const PASSWORD_IN_URL = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/"\\]*):[^\s@/"\\]+@/gi;

export function createLogger({ name, level }: { name: string; level: string }): Logger {
  return pino({
    name,
    level,
    redact: { paths: REDACTED_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[redacted]' },
    formatters: { level: (label) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
    hooks: { streamWrite: (line) => (line.includes('://') ? line.replaceAll(PASSWORD_IN_URL, '$1:[redacted]@') : line) },
  });
}
