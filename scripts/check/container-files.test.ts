// The container files keep their rules, and each rule notices when it is broken.
import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lintCompose } from './lint-compose.ts';
import { lintDockerfile } from './lint-dockerfile.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const exists = (path: string): boolean => existsSync(join(root, path));

const dockerfile = read('Dockerfile');
const compose = read('docker-compose.yml');
const lintImage = (text: string): string[] =>
  lintDockerfile(text, { exists, dockerignore: read('.dockerignore'), workspaceFolders: ['packages', 'apps', 'flows'] });
const lintStack = (text: string, envExample = read('.env.example')): string[] =>
  lintCompose(text, { exists, envExample, imageHasHealthcheck: true });

describe('the Dockerfile', () => {
  it('keeps all rules', () => {
    expect(lintImage(dockerfile)).toEqual([]);
  });

  it.each([
    ['USER node', '', 'runs as root'],
    ['USER node', 'USER 0', 'runs as root'],
    ['HEALTHCHECK', '# HEALTHCHECK', 'HEALTHCHECK is missing'],
    ['CMD ["node", "--max-semi-space-size=8", "apps/api/src/main.ts"]', 'CMD node apps/api/src/main.ts', 'exec form'],
    ['node:24-bookworm-slim', 'node:latest', 'no fixed version'],
    ['node:24-bookworm-slim', 'node', 'no fixed version'],
    ['COPY flows ./flows', 'COPY flow ./flows', 'COPY flow: there is no such path'],
    ['COPY flows ./flows', 'COPY docs ./docs', 'COPY docs: .dockerignore leaves it out'],
    ['--from=dependencies', '--from=nowhere', 'no such stage'],
    ['--omit=dev', '', 'npm ci --omit=dev'],
    ['ENV NODE_ENV=production', 'ENV DB_PASSWORD=x', 'DB_PASSWORD must not be part of the image'],
  ])('is refused with %j replaced by %j', (text, replacement, message) => {
    expect(dockerfile).toContain(text);
    expect(lintImage(dockerfile.replaceAll(text, replacement)).join('\n')).toContain(message);
  });
});

describe('docker-compose.yml', () => {
  it('keeps all rules', () => {
    expect(lintStack(compose)).toEqual([]);
  });

  it.each([
    ['noeviction', 'allkeys-lru', 'needs --maxmemory-policy noeviction'],
    ["'yes'", "'no'", 'needs --appendonly yes'],
    ['postgres:18.4-bookworm', 'postgres:latest', 'no fixed version'],
    ['stop_grace_period: 30s', 'stop_grace_period: 10s', 'stop_grace_period must be 30s'],
    ['test: [CMD-SHELL, redis-cli ping | grep -q PONG]', 'start_interval: 1s', 'service "redis": has no healthcheck'],
    ['POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD in .env}', 'POSTGRES_PASSWORD: secret', 'POSTGRES_PASSWORD must be'],
    ['millrace:${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD in .env}@', 'millrace:secret@', 'DATABASE_URL holds a password'],
    ['      replicas: ${MILLRACE_WORKERS:-2}', '      mode: replicated', 'deploy.replicas is missing'],
    ['apps/worker/src/main.ts', 'apps/worker/src/gone.ts', 'there is no apps/worker/src/gone.ts'],
    ['postgres:/var/lib/postgresql', './data:/var/lib/postgresql', 'is in no named volume'],
    ['  uploads:\n', '', 'the volume "uploads" is not declared'],
    ['\n  worker:\n', '\n  workers:\n', 'there is no service "worker"'],
  ])('is refused with %j replaced by %j', (text, replacement, message) => {
    expect(compose).toContain(text);
    const faults = lintStack(compose.replaceAll(text, replacement)).join('\n');
    expect(faults).toContain(message);
  });

  it('is refused when .env.example does not name what it requires, or gives it a value', () => {
    expect(lintStack(compose, '')).toHaveLength(3);
    expect(lintStack(compose, read('.env.example').replace('REDIS_PASSWORD=', 'REDIS_PASSWORD=real'))).toEqual([
      'REDIS_PASSWORD is required, but not in .env.example (without a value)',
    ]);
  });
});
