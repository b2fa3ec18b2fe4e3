import { describe, expect, it } from '@jest/globals';
import { loadConfig } from './load-config.ts';

const MINIMAL = { DATABASE_URL: 'postgres://me:pg-secret@db/millrace', REDIS_URL: 'redis://:redis-secret@cache:6379' };
const load = (env: Record<string, string | undefined> = {}) => loadConfig({ ...MINIMAL, ...env });
const faultsOf = (env: Record<string, string | undefined>) => {
  const loaded = loadConfig(env);
  return loaded.ok ? [] : loaded.faults;
};
const configOf = (env: Record<string, string | undefined> = {}) => {
  const loaded = load(env);
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded.config;
};

describe('loadConfig', () => {
  it('needs nothing but the two servers', () => {
    expect(configOf()).toEqual({
      databaseUrl: MINIMAL.DATABASE_URL,
      redisUrl: MINIMAL.REDIS_URL,
      port: 8_080,
      host: '127.0.0.1',
      home: '.millrace',
      adminKey: undefined,
      flowFolders: [],
      selftest: false,
      logLevel: 'info',
      redisPrefix: '{millrace}',
      flowConcurrency: 100,
      importConcurrency: 1,
      isolatedConcurrency: 4,
      dispatchWindow: 2_000,
      stopTimeoutMs: 20_000,
      metricsPort: undefined,
      publicUrl: 'http://127.0.0.1:8080',
      httpSecret: undefined,
      retentionDays: 90,
      maxUploadBytes: 10 * 1024 ** 3,
      maxRecordBytes: 16 * 1024 ** 2,
    });
  });

  it('reads what is given', () => {
    const env = {
      MILLRACE_PORT: '0',
      MILLRACE_SELFTEST: 'true',
      MILLRACE_FLOWS: '/a::/b',
      MILLRACE_ADMIN_KEY: 'mr_0123456789012345678901',
      MILLRACE_METRICS_PORT: '9100',
      MILLRACE_REDIS_PREFIX: '{t-1}',
    };
    expect(configOf(env)).toMatchObject({
      port: 0,
      selftest: true,
      flowFolders: ['/a', '/b'],
      adminKey: env.MILLRACE_ADMIN_KEY,
      metricsPort: 9_100,
      redisPrefix: '{t-1}',
    });
  });

  it('tells services outside the port that the API has, unless it is told where they reach it', () => {
    expect(configOf({ MILLRACE_PORT: '9000' }).publicUrl).toBe('http://127.0.0.1:9000');
    expect(configOf({ MILLRACE_PORT: '9000', MILLRACE_PUBLIC_URL: 'https://flows.example.com/millrace/' }).publicUrl).toBe(
      'https://flows.example.com/millrace',
    );
  });

  it('takes one secret for requests, or the old and the new one', () => {
    const [one, other] = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', `whsec_${Buffer.alloc(64, 7).toString('base64')}`];
    expect(configOf({ MILLRACE_HTTP_SECRET: one }).httpSecret).toBe(one);
    expect(configOf({ MILLRACE_HTTP_SECRET: `${one} ${other}` }).httpSecret).toBe(`${one} ${other}`);
  });

  it('treats an empty value as one that is not set', () => {
    expect(configOf({ MILLRACE_PORT: '', MILLRACE_ADMIN_KEY: '' })).toMatchObject({ port: 8_080, adminKey: undefined });
    expect(load({ MILLRACE_NOT_THERE_YET: '' }).ok).toBe(true);
  });

  it('understands UPSTASH_REDIS_URL, and prefers REDIS_URL', () => {
    const upstash = { UPSTASH_REDIS_URL: 'rediss://upstash' };
    expect(configOf({ ...upstash, REDIS_URL: undefined }).redisUrl).toBe('rediss://upstash');
    expect(configOf(upstash).redisUrl).toBe(MINIMAL.REDIS_URL);
  });

  it('leaves other variables alone', () => {
    expect(load({ PATH: '/bin', MILLRACES: 'x', npm_config_x: '1' }).ok).toBe(true);
  });

  it('tells all faults at once', () => {
    const faults = faultsOf({
      MILLRACE_PORT: '70000',
      MILLRACE_SELFTEST: 'yes',
      MILLRACE_LOG_LEVEL: 'loud',
      MILLRACE_PRT: '1',
      MILLRACE_WORKERS: '0',
    });
    expect(faults.map((fault) => fault.split(':')[0] ?? '').toSorted((a, b) => a.localeCompare(b, 'en'))).toEqual([
      'DATABASE_URL',
      'MILLRACE_LOG_LEVEL',
      'MILLRACE_PORT',
      'MILLRACE_PRT',
      'MILLRACE_SELFTEST',
      'MILLRACE_WORKERS',
      'REDIS_URL',
    ]);
  });

  it('says what is required in so many words', () => {
    expect(faultsOf({})).toEqual(['DATABASE_URL: is required', 'REDIS_URL: is required']);
  });

  it('asks whether a near name was meant', () => {
    expect(faultsOf({ ...MINIMAL, MILLRACE_PRT: '1' })).toEqual(['MILLRACE_PRT: is not a known variable, did you mean MILLRACE_PORT?']);
    expect(faultsOf({ ...MINIMAL, MILLRACE_SOMETHING_ELSE: '1' })).toEqual(['MILLRACE_SOMETHING_ELSE: is not a known variable']);
  });

  it.each([
    ['DATABASE_URL', 'mysql://u:hush-hush@db/x'],
    ['DATABASE_URL', 'hush-hush'],
    ['REDIS_URL', 'http://:hush-hush@cache'],
    ['UPSTASH_REDIS_URL', '//:hush-hush@'],
    ['MILLRACE_ADMIN_KEY', 'hush-hush'],
    ['MILLRACE_ADMIN_KEY', 'mr_hush-hush with a blank in it'],
    ['MILLRACE_ADMIN_KEYS', 'mr_hush-hush'],
    ['MILLRACE_PORT', 'hush-hush'],
    ['MILLRACE_PUBLIC_URL', 'ftp://hush-hush'],
    ['MILLRACE_PUBLIC_URL', 'https://hush:hush@api.test'],
    ['MILLRACE_HTTP_SECRET', 'hush-hush'],
    ['MILLRACE_HTTP_SECRET', 'whsec_hush'],
    ['MILLRACE_LOG_LEVEL', 'hush-hush'],
    ['MILLRACE_REDIS_PREFIX', 'hush-hush'],
    ['MILLRACE_SELFTEST', 'hush-hush'],
  ])('refuses a bad %s without showing its value', (name, value) => {
    const faults = faultsOf({ ...MINIMAL, [name]: value });
    expect(faults).toEqual([expect.stringContaining(name)]);
    expect(faults.join()).not.toContain('hush');
  });

  it('does not ask for Redis where it is not needed, but refuses a bad URL of it all the same', () => {
    const { REDIS_URL: _redisUrl, ...without } = MINIMAL;
    expect(loadConfig(without, { needsRedis: false })).toMatchObject({ ok: true, config: { redisUrl: '' } });
    expect(loadConfig({ ...without, REDIS_URL: 'nothing' }, { needsRedis: false }).ok).toBe(false);
  });

  it.each(['-1', '1.5', '1e3', ' 1', '0x10', '99999999999999999999'])('does not take %j for a port', (text) => {
    expect(faultsOf({ ...MINIMAL, MILLRACE_PORT: text })).toHaveLength(1);
  });

  it('does not take names of every object for variables of ours', () => {
    expect(faultsOf({ ...MINIMAL, MILLRACE___proto__: '1', MILLRACE_constructor: '1' })).toHaveLength(2);
  });
});
