// Rules for docker-compose.yml. Pure: text in, faults out.
import { parse } from 'yaml';
import { imageFault } from './lint-dockerfile.ts';

type Service = Record<string, unknown> & {
  image?: string;
  build?: unknown;
  command?: unknown;
  environment?: Record<string, unknown>;
  healthcheck?: { disable?: boolean; test?: unknown };
  deploy?: { replicas?: unknown };
};

export type ComposeSurroundings = {
  exists(path: string): boolean;
  /** Text of .env.example. */
  envExample: string;
  /** Whether the image built here brings its own HEALTHCHECK. */
  imageHasHealthcheck: boolean;
};

const wanted = ['postgres', 'redis', 'migrate', 'api', 'worker'];
const secretName = /(PASSWORD|SECRET|TOKEN|_KEY|AUTH)$/;

/** Every rule that the file breaks, as a sentence; empty if none. */
export function lintCompose(text: string, surroundings: ComposeSurroundings): string[] {
  const file: unknown = parse(text, { merge: true });
  const services = recordAt(file, 'services') as Record<string, Service>;
  const entries = Object.entries(services);
  return [
    ...wanted.filter((name) => services[name] === undefined).map((name) => `there is no service "${name}"`),
    ...entries.flatMap(([name, service]) => serviceFaults(name, service, surroundings)),
    ...redisFaults(services['redis']),
    ...workerFaults(services['worker']),
    ...volumeFaults(file, entries),
    ...requiredVariables(text)
      .filter((name) => !new RegExp(`^${name}=$`, 'm').test(surroundings.envExample))
      .map((name) => `${name} is required, but not in .env.example (without a value)`),
  ];
}

function recordAt(value: unknown, key: string): Record<string, unknown> {
  const found = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  return typeof found === 'object' && found !== null ? (found as Record<string, unknown>) : {};
}

const wordsOf = (command: unknown): string[] => (Array.isArray(command) ? command.map(String) : []);

function serviceFaults(name: string, service: Service, { exists, imageHasHealthcheck }: ComposeSurroundings): string[] {
  const at = (text: string): string => `service "${name}": ${text}`;
  const isBuilt = service.build !== undefined;
  const image = imageFault(service.image ?? '');
  const hasHealthcheck = service.healthcheck?.test !== undefined || (isBuilt && imageHasHealthcheck);
  const isOneShot = service['restart'] === 'no';
  return [
    ...(image === undefined ? [] : [at(image)]),
    ...(service['stop_grace_period'] === '30s' ? [] : [at('stop_grace_period must be 30s')]),
    ...(hasHealthcheck || isOneShot ? [] : [at('has no healthcheck')]),
    ...(service['user'] === 'root' || service['privileged'] === true ? [at('must not run as root')] : []),
    ...(service.command !== undefined && !Array.isArray(service.command)
      ? [at('command must be a list, so that signals reach the process')]
      : []),
    ...wordsOf(service.command)
      .filter((word) => word.endsWith('.ts') && !exists(word))
      .map((word) => at(`there is no ${word}`)),
    ...secretFaults(service).map(at),
  ];
}

// A secret comes from the environment, and the stack does not start without it.
function secretFaults(service: Service): string[] {
  const variables = Object.entries(service.environment ?? {});
  // A name without a value is handed through from the environment, where there may be none.
  const direct = variables
    .filter(([, value]) => value !== null)
    .filter(([key, value]) => secretName.test(key) && !/^\$\{[A-Z_]+:\?.+\}$/.test(String(value)))
    .map(([key]) => `${key} must be \${NAME:?message}`);
  const inUrls = variables
    .filter(([, value]) => /:\/\/[^/@:]*:(?!\$\{[A-Z_]+:\?)[^@]+@/.test(String(value)))
    .map(([key]) => `${key} holds a password`);
  return [...direct, ...inUrls];
}

function redisFaults(redis: Service | undefined): string[] {
  const words = wordsOf(redis?.command).join(' ');
  return ['--appendonly yes', '--appendfsync everysec', '--maxmemory-policy noeviction', '--requirepass ${']
    .filter((option) => !words.includes(option))
    .map((option) => `service "redis": needs ${option}`);
}

// Several containers of one service can share neither a name nor a port of the host.
function workerFaults(worker: Service | undefined): string[] {
  return [
    ...(worker?.deploy?.replicas === undefined ? ['service "worker": deploy.replicas is missing'] : []),
    ...['container_name', 'ports']
      .filter((key) => worker?.[key] !== undefined)
      .map((key) => `service "worker": ${key} keeps it from being scaled`),
  ];
}

function volumeFaults(file: unknown, services: readonly [string, Service][]): string[] {
  const declared = Object.keys(recordAt(file, 'volumes'));
  const used = new Set(
    services.flatMap(([, service]) =>
      Array.isArray(service['volumes']) ? service['volumes'].map((one) => String(one).split(':')[0] ?? '') : [],
    ),
  );
  return [
    ...['postgres', 'redis'].filter((name) => !used.has(name)).map((name) => `the data of "${name}" is in no named volume`),
    ...[...used].filter((name) => !declared.includes(name)).map((name) => `the volume "${name}" is not declared`),
  ];
}

const requiredVariables = (text: string): string[] => [...new Set([...text.matchAll(/\$\{([A-Z_]+):\?/g)].map((match) => match[1] ?? ''))];
