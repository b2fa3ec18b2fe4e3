// All configuration, from the environment through one schema. Every fault is reported at once, unknown MILLRACE_* names included.
import { z } from 'zod';
import { suggestName } from './suggest-name.ts';

const flag = z.enum(['0', '1', 'true', 'false']).transform((text) => text === '1' || text === 'true');
const integer = (min: number, max: number) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(min).max(max));
const url = (protocols: readonly string[]) =>
  z
    .string()
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    );

const baseUrl = url(['http:', 'https:'])
  .refine((text) => !/[?#@]/.test(text), 'must have no user name, query or fragment')
  .transform((text) => text.replace(/\/+$/, ''));
const signingSecrets = z
  .string()
  .regex(
    /^\s*whsec_[A-Za-z0-9+/]{32,86}={0,2}(\s+whsec_[A-Za-z0-9+/]{32,86}={0,2})*\s*$/,
    'must be whsec_ and 24 to 64 bytes in base64; several separated by blanks while one replaces the other',
  );

const schema = z.object({
  DATABASE_URL: url(['postgres:', 'postgresql:']),
  REDIS_URL: url(['redis:', 'rediss:']).optional(),
  UPSTASH_REDIS_URL: url(['redis:', 'rediss:']).optional(),
  MILLRACE_PORT: integer(0, 65_535).default(8_080),
  MILLRACE_HOST: z.string().min(1).default('127.0.0.1'),
  MILLRACE_HOME: z.string().min(1).default('.millrace'),
  MILLRACE_ADMIN_KEY: z
    .string()
    .regex(/^mr_[\x21-\x7e]{21,}$/, 'must begin with mr_ and have at least 24 visible characters')
    .optional(),
  MILLRACE_WORKERS: integer(1, 64).default(2),
  MILLRACE_FLOWS: z
    .string()
    .default('')
    .transform((text) => text.split(':').filter((folder) => folder !== '')),
  MILLRACE_SELFTEST: flag.default(false),
  MILLRACE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  MILLRACE_REDIS_PREFIX: z
    .string()
    .regex(/^\{[a-z0-9_-]{1,32}\}$/, 'must be a hash tag such as {millrace}')
    .default('{millrace}'),
  MILLRACE_FLOW_CONCURRENCY: integer(1, 1_000).default(100),
  MILLRACE_IMPORT_CONCURRENCY: integer(1, 16).default(1),
  MILLRACE_ISOLATED_CONCURRENCY: integer(1, 256).default(4),
  MILLRACE_DISPATCH_WINDOW: integer(10, 100_000).default(2_000),
  MILLRACE_STOP_TIMEOUT_MS: integer(500, 600_000).default(20_000),
  MILLRACE_METRICS_PORT: integer(0, 65_535).optional(),
  MILLRACE_PUBLIC_URL: baseUrl.optional(),
  MILLRACE_HTTP_SECRET: signingSecrets.optional(),
  MILLRACE_RETENTION_DAYS: integer(0, 36_500).default(90),
  MILLRACE_MAX_UPLOAD_BYTES: integer(1, Number.MAX_SAFE_INTEGER).default(10 * 1024 ** 3),
  MILLRACE_MAX_RECORD_BYTES: integer(1_024, 256 * 1024 ** 2).default(16 * 1024 ** 2),
});

export type Config = {
  databaseUrl: string;
  redisUrl: string;
  port: number;
  /** Address the API listens on; loopback unless told otherwise. */
  host: string;
  /** Folder for uploads, and for the embedded servers' state. */
  home: string;
  adminKey: string | undefined;
  flowFolders: readonly string[];
  selftest: boolean;
  logLevel: string;
  /** Hash tag that every Redis key begins with. */
  redisPrefix: string;
  flowConcurrency: number;
  importConcurrency: number;
  /** Processes of isolated phases that a worker runs at a time. */
  isolatedConcurrency: number;
  /** Jobs per queue that may wait in Redis; the rest of the backlog stays in PostgreSQL. */
  dispatchWindow: number;
  stopTimeoutMs: number;
  /** Port of a worker's own /metrics and health; none when absent. */
  metricsPort: number | undefined;
  /** Where services outside reach the API, without a slash at its end; part of the callback address of http phases. */
  publicUrl: string;
  /** Signs the requests of http phases that have no secret of their own. */
  httpSecret: string | undefined;
  /** How long ended flows are kept whose definition says nothing; 0: for ever. */
  retentionDays: number;
  maxUploadBytes: number;
  maxRecordBytes: number;
};

export type LoadedConfig = { ok: true; config: Config } | { ok: false; faults: string[] };

/** Names that belong to the launcher scripts and the container files, not to a process of ours. */
const NAMES_OF_OTHERS = new Set(['MILLRACE_TEST_HOME']);

/**
 * Reads the configuration. Pure: `env` is handed in. Faults name the variable and never show its value.
 * @param options.needsRedis false for a process that never speaks to Redis: then its URL may be absent, and is empty. Default true.
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  { needsRedis = true }: { needsRedis?: boolean } = {},
): LoadedConfig {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = schema.safeParse(set);
  const faults = [...unknownNames(Object.keys(set)), ...(parsed.success ? [] : parsed.error.issues.map(describeIssue))];
  if (needsRedis && set['REDIS_URL'] === undefined && set['UPSTASH_REDIS_URL'] === undefined) faults.push('REDIS_URL: is required');
  if (!parsed.success || faults.length > 0) return { ok: false, faults };
  return { ok: true, config: toConfig(parsed.data) };
}

function toConfig(values: z.infer<typeof schema>): Config {
  return {
    databaseUrl: values.DATABASE_URL,
    redisUrl: values.REDIS_URL ?? values.UPSTASH_REDIS_URL ?? '',
    port: values.MILLRACE_PORT,
    host: values.MILLRACE_HOST,
    home: values.MILLRACE_HOME,
    adminKey: values.MILLRACE_ADMIN_KEY,
    flowFolders: values.MILLRACE_FLOWS,
    selftest: values.MILLRACE_SELFTEST,
    logLevel: values.MILLRACE_LOG_LEVEL,
    redisPrefix: values.MILLRACE_REDIS_PREFIX,
    flowConcurrency: values.MILLRACE_FLOW_CONCURRENCY,
    importConcurrency: values.MILLRACE_IMPORT_CONCURRENCY,
    isolatedConcurrency: values.MILLRACE_ISOLATED_CONCURRENCY,
    dispatchWindow: values.MILLRACE_DISPATCH_WINDOW,
    stopTimeoutMs: values.MILLRACE_STOP_TIMEOUT_MS,
    metricsPort: values.MILLRACE_METRICS_PORT,
    publicUrl: values.MILLRACE_PUBLIC_URL ?? `http://127.0.0.1:${values.MILLRACE_PORT}`,
    httpSecret: values.MILLRACE_HTTP_SECRET,
    retentionDays: values.MILLRACE_RETENTION_DAYS,
    maxUploadBytes: values.MILLRACE_MAX_UPLOAD_BYTES,
    maxRecordBytes: values.MILLRACE_MAX_RECORD_BYTES,
  };
}

function unknownNames(names: readonly string[]): string[] {
  const known = Object.keys(schema.shape);
  return names
    .filter((name) => name.startsWith('MILLRACE_') && !known.includes(name) && !NAMES_OF_OTHERS.has(name))
    .map((name) => {
      const suggestion = suggestName(name, known);
      return suggestion === undefined
        ? `${name}: is not a known variable`
        : `${name}: is not a known variable, did you mean ${suggestion}?`;
    });
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const name = String(issue.path[0] ?? 'environment');
  return issue.code === 'invalid_type' && issue.message.includes('undefined') ? `${name}: is required` : `${name}: ${issue.message}`;
}
