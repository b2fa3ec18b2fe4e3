// JSON logs on stdout, one line each, without secrets.
import { pino } from 'pino';
import type { Logger } from 'pino';

export type { Logger } from 'pino';

/** Fields that never reach a log line, wherever they sit in an object up to two levels deep. */
const REDACTED_FIELDS = ['authorization', 'password', 'secret', 'key', 'token', 'cookie', 'databaseUrl', 'redisUrl'];

export function createLogger({ name, level }: { name: string; level: string }): Logger {
  return pino({
    name,
    level,
    redact: { paths: REDACTED_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[redacted]' },
    formatters: { level: (label) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
  });
}
