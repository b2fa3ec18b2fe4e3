// List cursors: opaque to clients, signed, and good only for the workspace, list and filter they were made for.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { AppError, canonicalJson } from '@millrace/shared';

/** What a cursor belongs to. `filter` is everything that selects rows, without limit and cursor. */
export type CursorScope = { workspace: string; list: string; filter: unknown };

export type Cursors = {
  /** @param position where the next page begins, in the list's own terms */
  encode(scope: CursorScope, position: string): Promise<string>;
  /** @throws AppError invalid-cursor when it was not made by `encode` for the same scope */
  decode(scope: CursorScope, cursor: string): Promise<string>;
};

const SIGNATURE_BYTES = 16;
const CURSOR_PATTERN = /^([A-Za-z0-9_-]{1,6000})\.([A-Za-z0-9_-]{22})$/;

/** @param secret the instance's own, the same in every process */
export function createCursors({ secret }: { secret(): Promise<Buffer> }): Cursors {
  const sign = async (scope: CursorScope, position: string) =>
    createHmac('sha256', await secret())
      .update(canonicalJson([scope.workspace, scope.list, scope.filter, position]))
      .digest()
      .subarray(0, SIGNATURE_BYTES);
  return {
    encode: async (scope, position) => write(position, (await sign(scope, position)).toString('base64url')),
    decode: async (scope, cursor) => {
      const match = CURSOR_PATTERN.exec(cursor);
      if (match === null) throw new AppError('invalid-cursor');
      const position = Buffer.from(match[1] ?? '', 'base64url').toString();
      const expected = (await sign(scope, position)).toString('base64url');
      // Compared as text: the last character of base64url has spare bits, and a cursor with other ones is none of ours.
      if (!timingSafeEqual(Buffer.from(match[2] ?? ''), Buffer.from(expected)) || write(position, expected) !== cursor)
        throw new AppError('invalid-cursor');
      return position;
    },
  };
}

function write(position: string, signature: string): string {
  return `${Buffer.from(position).toString('base64url')}.${signature}`;
}
