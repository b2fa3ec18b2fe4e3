// The logger writes to the process's own stdout, so what reaches it is read from a process of its own.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';

const LOGGER = fileURLToPath(new URL('./logger.ts', import.meta.url));

/** The lines that a process prints which runs these statements with `log` in scope. */
function linesOf(statements: string, level = 'debug'): Record<string, unknown>[] {
  const source = `const { createLogger } = await import(${JSON.stringify(LOGGER)}); const log = createLogger({ name: 'test', level: '${level}' }); ${statements}`;
  const result = spawnSync(process.execPath, ['--input-type=module', '--eval', source], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(result.stderr);
  return result.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const SECRETS = `
const hush = 'hush-hush';
log.info({ authorization: hush, password: hush, secret: hush, key: hush, token: hush, cookie: hush, databaseUrl: hush, redisUrl: hush, adminKey: hush }, 'at the top');
log.info({ req: { headers: { authorization: hush, cookie: hush } } }, 'a request');
log.info({ config: { databaseUrl: hush, redisUrl: hush, adminKey: hush } }, 'the configuration');
log.warn({ err: Object.assign(new Error('failed'), { config: { password: hush }, password: hush }) }, 'an error');
log.warn({ err: new Error('connect to postgres://me:hush-hush@db:5432/x failed', { cause: new Error('redis://:hush-hush@cache') }) }, 'addresses');
log.warn({ reason: 'rediss://default:hush-hush@cache:6379 is away', url: 'postgresql://me:hush-hush@db/x' }, 'could not reach redis://:hush-hush@cache');
log.debug({ req: { url: '/v1/flows?x=1' } }, 'harmless');
log.info('the end');`;

describe('a log line', () => {
  const lines = linesOf(SECRETS);

  it('is JSON with name, level by word, time and message', () => {
    expect(lines).toHaveLength(8);
    expect(lines.at(-1)).toMatchObject({ name: 'test', level: 'info', msg: 'the end', time: expect.stringMatching(/^\d{4}-.*Z$/) });
  });

  it('never carries a secret, neither by field nor inside an address', () => {
    expect(lines.filter((line) => JSON.stringify(line).includes('hush'))).toEqual([]);
  });

  it('keeps everything else', () => {
    expect(lines[6]).toMatchObject({ req: { url: '/v1/flows?x=1' }, msg: 'harmless' });
    expect(lines[4]).toMatchObject({ err: { type: 'Error', message: expect.stringContaining('@db:5432/x failed') } });
  });
});

describe('the level', () => {
  it('hides what is below it', () => {
    expect(linesOf("log.debug('a'); log.info('b'); log.warn('c');", 'warn').map((line) => line['msg'])).toEqual(['c']);
    expect(linesOf("log.fatal('a');", 'silent')).toEqual([]);
  });
});
