// Keys as text, and how long a look-up is believed.
import { describe, expect, it } from '@jest/globals';
import type { Principal } from '@millrace/shared';
import type { StoredKey } from '@millrace/store';
import { formatApiKey, newSecret, parseApiKey } from './api-key.ts';
import { createAuthenticator } from './authenticator.ts';

const ID = '01900000-0000-7000-8000-000000000001';

function setUp({ adminKey, expiresAt = null }: { adminKey?: string; expiresAt?: Date | null } = {}) {
  const { secret, secretHash } = newSecret();
  const row: StoredKey = {
    id: ID,
    workspace: 'team',
    name: 'k',
    role: 'operator',
    secret_hash: secretHash,
    requests_per_minute: null,
    expires_at: expiresAt,
    created_at: new Date(0),
  };
  const state = { nowMs: 1_000_000, lookups: 0, inForce: true };
  const authenticator = createAuthenticator({
    adminKey,
    clock: { nowMs: () => state.nowMs, monotonicMs: () => state.nowMs },
    findKey: (id) => {
      state.lookups += 1;
      return Promise.resolve(state.inForce && id === ID ? row : undefined);
    },
  });
  const authenticate = async (key: string): Promise<Principal> => authenticator.authenticate(`Bearer ${key}`);
  return { authenticator, authenticate, state, key: formatApiKey({ id: ID, secret }) };
}

describe('API keys', () => {
  it('are written with id and secret, and read back', () => {
    const { secret } = newSecret();
    expect(parseApiKey(formatApiKey({ id: ID, secret }))).toEqual({ id: ID, secret });
    expect(secret).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  it.each([
    '',
    'mr_',
    'mr_x_y',
    `mr_${'0'.repeat(32)}_short`,
    `xx_${'0'.repeat(32)}_${'A'.repeat(43)}`,
    `mr_${'0'.repeat(32)}_${'A'.repeat(44)}`,
  ])('are not %p', (text) => {
    expect(parseApiKey(text)).toBeUndefined();
  });
});

describe('the authenticator', () => {
  it('looks a key up once for many requests, also for concurrent ones', async () => {
    const { authenticate, state, key } = setUp();
    const found = await Promise.all([authenticate(key), authenticate(key), authenticate(key)]);
    await authenticate(key);
    expect(found[0]).toEqual({ workspace: 'team', role: 'operator', keyId: ID, requestsPerMinute: 60_000 });
    expect(state.lookups).toBe(1);
  });

  it('refuses a revoked key at the latest 5 s later, and at once where it was revoked', async () => {
    const { authenticator, authenticate, state, key } = setUp();
    await authenticate(key);
    state.inForce = false;
    state.nowMs += 4_999;
    await expect(authenticate(key)).rejects.toMatchObject({ code: 'unauthorized' });
    state.inForce = true;
    state.nowMs += 5_000;
    await authenticate(key);
    authenticator.forget(ID);
    await expect(authenticate(key)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('refuses a key in the moment it expires, though it was looked up before', async () => {
    const { authenticate, state, key } = setUp({ expiresAt: new Date(1_002_000) });
    await authenticate(key);
    await authenticate(key);
    state.nowMs = 1_002_000;
    await expect(authenticate(key)).rejects.toMatchObject({ code: 'unauthorized' });
    expect(state.lookups).toBe(1);
  });

  it.each([
    ['was revoked elsewhere', 4_000, false],
    ['was revoked here', 0, true],
  ])('refuses a key that was good many times before and %s', async (_how, laterMs, forgotten) => {
    const { authenticator, authenticate, state, key } = setUp();
    for (let times = 0; times < 3; times += 1) await authenticate(key);
    state.inForce = false;
    state.nowMs += laterMs;
    if (forgotten) authenticator.forget(ID);
    await expect(authenticate(key)).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(authenticate(key)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('takes a key that was good many times again after its look-up, and no other secret with its id', async () => {
    const { authenticate, state, key } = setUp();
    for (let times = 0; times < 3; times += 1) await authenticate(key);
    state.nowMs += 4_000;
    for (let times = 0; times < 3; times += 1) expect((await authenticate(key)).keyId).toBe(ID);
    expect(state.lookups).toBe(2);
    const other = formatApiKey({ id: ID, secret: newSecret().secret });
    for (let times = 0; times < 3; times += 1) await expect(authenticate(other)).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('remembers unknown keys too, so that guessing does not reach the database', async () => {
    const { authenticate, state } = setUp();
    const unknown = `mr_${'f'.repeat(32)}_${'A'.repeat(43)}`;
    for (let tries = 0; tries < 3; tries += 1) await expect(authenticate(unknown)).rejects.toMatchObject({ code: 'unauthorized' });
    expect(state.lookups).toBe(1);
  });

  it('takes the bootstrap key for the admin of default without any look-up, and nothing like it', async () => {
    const { authenticator, authenticate, state } = setUp({ adminKey: 'mr_bootstrap-key-of-some-length' });
    const principal = await authenticate('mr_bootstrap-key-of-some-length');
    expect(principal).toEqual({ workspace: 'default', role: 'admin', keyId: 'bootstrap', requestsPerMinute: 0 });
    expect(await authenticator.isStillValid(principal)).toBe(true);
    await expect(authenticate('mr_bootstrap-key-of-some-lengtH')).rejects.toMatchObject({ code: 'unauthorized' });
    expect(state.lookups).toBe(0);
  });

  it('tells streams when their key is gone', async () => {
    const { authenticator, authenticate, state, key } = setUp();
    const principal = await authenticate(key);
    expect(await authenticator.isStillValid(principal)).toBe(true);
    state.inForce = false;
    state.nowMs += 5_000;
    expect(await authenticator.isStillValid(principal)).toBe(false);
  });
});
