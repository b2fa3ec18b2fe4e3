// What a handler gives as the content of an import, as bytes in pieces of a bounded size.
import type { ImportContent } from '@millrace/sdk';

export type ContentBytes = {
  /** The next bytes, null at the end. Throws what the handler's own stream throws. */
  next(): Promise<Buffer | null>;
  /** Ends a stream that was not read to its end, as soon as it has nothing under way. */
  close(): void;
};

const PIECE_BYTES = 256 * 1024;

export function readContent(content: ImportContent['content']): ContentBytes {
  const pieces = piecesOf(content);
  return {
    next: async () => {
      const next = await pieces.next();
      return next.done === true ? null : next.value;
    },
    close: () => {
      // What it throws at its end is nobody's any more.
      void Promise.allSettled([pieces.return(undefined)]);
    },
  };
}

async function* piecesOf(content: ImportContent['content']): AsyncGenerator<Buffer, undefined, undefined> {
  const isWhole = typeof content === 'string' || content instanceof Uint8Array;
  for await (const part of isWhole ? [content] : content) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    for (let from = 0; from < bytes.length; from += PIECE_BYTES) yield bytes.subarray(from, from + PIECE_BYTES);
  }
  return undefined;
}
