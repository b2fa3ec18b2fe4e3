// What makes a cursor good, and what makes it invalid.
import { describe, expect, it } from '@jest/globals';
import { createCursors } from './cursors.ts';

const cursors = createCursors({ secret: () => Promise.resolve(Buffer.from('0123456789abcdef')) });
const others = createCursors({ secret: () => Promise.resolve(Buffer.from('another instance')) });
const scope = { workspace: 'default', list: 'flows', filter: { status: ['failed'], q: 'x' } };

describe('cursors', () => {
  it('come back as the position they were made of, in every process with the same secret', async () => {
    const cursor = await cursors.encode(scope, 'position/ä');
    expect(cursor).toMatch(/^[A-Za-z0-9_.-]+$/);
    expect(await cursors.decode({ ...scope, filter: { q: 'x', status: ['failed'] } }, cursor)).toBe('position/ä');
  });

  it.each([
    ['workspace', { ...scope, workspace: 'other' }],
    ['list', { ...scope, list: 'keys' }],
    ['filter', { ...scope, filter: { status: ['failed'] } }],
  ])('are refused for another %s', async (_name, other) => {
    const cursor = await cursors.encode(scope, 'p');
    await expect(cursors.decode(other, cursor)).rejects.toMatchObject({ code: 'invalid-cursor' });
  });

  it.each(['', '.', 'abc', 'abc.def', `${'a'.repeat(2_000)}.${'A'.repeat(22)}`, `cA.${'A'.repeat(22)}`])(
    'are refused when they are %p',
    async (cursor) => {
      await expect(cursors.decode(scope, cursor)).rejects.toMatchObject({ code: 'invalid-cursor' });
    },
  );

  it('of another instance, or changed by one character, are refused', async () => {
    const cursor = await cursors.encode(scope, 'p');
    await expect(others.decode(scope, cursor)).rejects.toMatchObject({ code: 'invalid-cursor' });
    const [position = '', signature = ''] = cursor.split('.');
    await expect(cursors.decode(scope, `${position}A.${signature}`)).rejects.toMatchObject({ code: 'invalid-cursor' });
    // The last of its characters carries four bits that say nothing.
    const next = String.fromCharCode(signature.charCodeAt(signature.length - 1) + 1);
    await expect(cursors.decode(scope, `${position}.${signature.slice(0, -1)}${next}`)).rejects.toMatchObject({ code: 'invalid-cursor' });
  });
});
