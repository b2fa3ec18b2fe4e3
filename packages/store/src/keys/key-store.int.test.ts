import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '@millrace/shared';
import { createTestDatabase, type TestDatabase } from '@millrace/testing';
import { createKey, findKey, listKeys, revokeKey, type NewKey } from './key-store.ts';

let test: TestDatabase;
const hash = (secret: string) => createHash('sha256').update(secret).digest();
const add = (changes: Partial<NewKey> = {}) =>
  createKey(test.database, {
    workspace: 'default',
    name: 'ci',
    role: 'operator',
    secretHash: hash('s'),
    requestsPerMinute: null,
    expiresAt: null,
    ...changes,
  });
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();

beforeAll(async () => {
  test = await createTestDatabase();
});

afterAll(async () => {
  await test.drop();
});

describe('a key', () => {
  it('is found by its id with everything a request is checked against', async () => {
    const made = await add({ role: 'viewer', requestsPerMinute: 10, expiresAt: inMs(60_000) });
    expect(await findKey(test.database.main, made.id)).toEqual(made);
    expect(made).toMatchObject({
      workspace: 'default',
      name: 'ci',
      role: 'viewer',
      secret_hash: hash('s'),
      requests_per_minute: 10,
      expires_at: expect.any(Date),
      created_at: expect.any(Date),
    });
  });

  it('is not found when it was never made, has expired or was revoked', async () => {
    const [expired, revoked] = [await add({ expiresAt: inMs(-1) }), await add()];
    expect(await revokeKey(test.database.main, { id: revoked.id, workspace: 'default' })).toBe(true);
    expect(await Promise.all([newId(), expired.id, revoked.id].map((id) => findKey(test.database.main, id)))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('can be revoked once, and only from its own workspace', async () => {
    const { id } = await add();
    expect(await revokeKey(test.database.main, { id, workspace: 'other' })).toBe(false);
    expect(await findKey(test.database.main, id)).toMatchObject({ id, workspace: 'default' });
    const outcomes = await Promise.all([1, 2, 3].map(() => revokeKey(test.database.main, { id, workspace: 'default' })));
    expect(outcomes.filter(Boolean)).toHaveLength(1);
    expect(await findKey(test.database.main, id)).toBeUndefined();
  });

  it('makes its workspace when that is new, also twice at the same time', async () => {
    await Promise.all([add({ workspace: 'brand_new' }), add({ workspace: 'brand_new' })]);
    const found = await test.database.main.query("SELECT name FROM millrace.workspaces WHERE name = 'brand_new'");
    expect(found.rowCount).toBe(1);
  });

  it('is not made for a workspace with a bad name, nor with a hash of another length', async () => {
    await expect(add({ workspace: 'Bad Name' })).rejects.toMatchObject({ code: '23514' });
    await expect(add({ secretHash: Buffer.from('short') })).rejects.toMatchObject({ code: '23514' });
  });
});

describe('the list of keys', () => {
  it('holds those of the workspace that are not revoked, newest first, page after page', async () => {
    const made = [
      await add({ workspace: 'listed' }),
      await add({ workspace: 'listed' }),
      await add({ workspace: 'listed' }),
      await add({ workspace: 'listed' }),
    ];
    await revokeKey(test.database.main, { id: made[1]?.id ?? '', workspace: 'listed' });
    const page = async (before: string | null, limit: number) =>
      (await listKeys(test.database.main, { workspace: 'listed', before, limit })).map((key) => key.id);
    const expected = [made[3]?.id, made[2]?.id, made[0]?.id];
    expect(await page(null, 10)).toEqual(expected);
    expect(await page(null, 2)).toEqual(expected.slice(0, 2));
    expect(await page(expected[1] ?? '', 2)).toEqual(expected.slice(2));
  });
});
