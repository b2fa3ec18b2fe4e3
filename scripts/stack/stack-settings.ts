// Reads the variables that `up`, `demo`, `test` and `bench` understand. Pure; reports all faults at once. What only the services understand is theirs to check.
import { resolve } from 'node:path';
import { StackFault } from './stack-fault.ts';

export type StackSettings = {
  /** Absolute path of the state folder. */
  home: string;
  /** Port of the API; 0 means any free one. */
  port: number;
  /** Address on which the API is reached from here. */
  host: string;
  /** Number of worker processes. */
  workers: number;
  /** Bootstrap key of the administrator; undefined: made and kept in the state folder. */
  adminKey: string | undefined;
  /** External servers; undefined: embedded ones. */
  databaseUrl: string | undefined;
  redisUrl: string | undefined;
};

const portMax = 65_535;
const workersMax = 64;
const adminKeyMinLength = 24;

/** `root` is the repository: the state folder is `.millrace` in it unless MILLRACE_HOME says otherwise. Throws a StackFault `configuration` that lists every fault. */
export function readStackSettings(env: NodeJS.ProcessEnv, root: string): StackSettings {
  const faults: string[] = [];
  const fault = (text: string): undefined => void faults.push(text);
  const settings = {
    home: resolve(root, value(env, 'MILLRACE_HOME') ?? '.millrace'),
    port: wholeNumber(env, { name: 'MILLRACE_PORT', fallback: 8080, min: 0, max: portMax }, fault),
    host: reachableHost(value(env, 'MILLRACE_HOST')),
    workers: wholeNumber(env, { name: 'MILLRACE_WORKERS', fallback: 2, min: 1, max: workersMax }, fault),
    adminKey: adminKeyOf(env, fault),
    databaseUrl: urlOf(env, { name: 'DATABASE_URL', protocols: ['postgres:', 'postgresql:'] }, fault),
    redisUrl:
      urlOf(env, { name: 'REDIS_URL', protocols: ['redis:', 'rediss:'] }, fault) ??
      urlOf(env, { name: 'UPSTASH_REDIS_URL', protocols: ['redis:', 'rediss:'] }, fault),
  };
  if (faults.length > 0)
    throw new StackFault(
      'configuration',
      faults.length === 1 ? `Wrong setting: ${faults[0]}` : `Wrong settings:\n${faults.map((text) => `  ${text}`).join('\n')}`,
    );
  return settings;
}

type Fault = (text: string) => undefined;

/** An empty variable is as good as none, as in every .env file. */
function value(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const text = env[name]?.trim();
  return text === '' ? undefined : text;
}

function wholeNumber(
  env: NodeJS.ProcessEnv,
  { name, fallback, min, max }: { name: string; fallback: number; min: number; max: number },
  fault: Fault,
): number {
  const text = value(env, name);
  if (text === undefined) return fallback;
  if (/^\d{1,6}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text);
  fault(`${name} must be a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`);
  return fallback;
}

/** An API that listens on all addresses is reached on loopback. */
function reachableHost(host: string | undefined): string {
  if (host === undefined || host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

function adminKeyOf(env: NodeJS.ProcessEnv, fault: Fault): string | undefined {
  const key = value(env, 'MILLRACE_ADMIN_KEY');
  if (key === undefined) return undefined;
  if (/^mr_[\x21-\x7e]+$/.test(key) && key.length >= adminKeyMinLength) return key;
  return fault(
    `MILLRACE_ADMIN_KEY must begin with mr_ and have at least ${adminKeyMinLength} visible characters (its value is not shown here)`,
  );
}

// The value is not repeated in the message: it holds a password.
function urlOf(env: NodeJS.ProcessEnv, { name, protocols }: { name: string; protocols: string[] }, fault: Fault): string | undefined {
  const text = value(env, name);
  if (text === undefined) return undefined;
  if (URL.canParse(text) && protocols.includes(new URL(text).protocol)) return text;
  return fault(`${name} must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`);
}

/** Host and port of a server's URL, for messages: never its user or password. */
export function placeOf(url: string): string {
  return new URL(url).host || 'a local socket';
}
