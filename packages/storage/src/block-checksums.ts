// Tells whether a stored file is still the one that was indexed: a CRC-32 per block, made in the pass that writes the file and
// compared whenever a chunk of it is read. It finds accidents and edits, not a forger who can write to the storage.
import { crc32 } from 'node:zlib';
import type { UploadStorage } from './upload-storage.ts';

/** A chunk's ends rarely fall on blocks, so up to two blocks more than the chunk are read to check it. */
export const CHECKSUM_BLOCK_BYTES = 256 * 1024;

const CHECKSUM_BYTES = 4;

type Range = { byteOffset: number; byteLength: number };

/** Gathers the checksums of a file that is handed over in order, in pieces of any size. */
export function blockChecksums(): { push(bytes: Uint8Array): void; end(): Uint32Array } {
  const blocks: number[] = [];
  let current = 0;
  let filled = 0;
  return {
    push: (bytes) => {
      for (let from = 0; from < bytes.byteLength;) {
        const piece = bytes.subarray(from, from + CHECKSUM_BLOCK_BYTES - filled);
        current = crc32(piece, current);
        filled += piece.byteLength;
        from += piece.byteLength;
        if (filled < CHECKSUM_BLOCK_BYTES) continue;
        blocks.push(current);
        current = 0;
        filled = 0;
      }
    },
    end: () => Uint32Array.from(filled > 0 ? [...blocks, current] : blocks),
  };
}

/** The checksums of the blocks that a chunk touches, 4 bytes each, most significant first: what is kept with the chunk. */
export function chunkChecksums(blocks: Uint32Array, chunk: Range): Buffer {
  const first = Math.floor(chunk.byteOffset / CHECKSUM_BLOCK_BYTES);
  const touched = blocks.subarray(first, Math.ceil((chunk.byteOffset + chunk.byteLength) / CHECKSUM_BLOCK_BYTES));
  const bytes = Buffer.alloc(touched.length * CHECKSUM_BYTES);
  touched.forEach((checksum, index) => bytes.writeUInt32BE(checksum, index * CHECKSUM_BYTES));
  return bytes;
}

export type StoredChunk = Range & {
  ref: string;
  /** As `chunkChecksums` made them. */
  checksums: Buffer;
  /** Size of the whole file when it was indexed. */
  fileBytes: number;
};

/** The bytes of a chunk, or null when the file is gone, has another size or differs in one of the chunk's blocks. */
export async function openChunk(storage: Pick<UploadStorage, 'readRange' | 'size'>, chunk: StoredChunk): Promise<Buffer | null> {
  if ((await storage.size(chunk.ref)) !== chunk.fileBytes) return null;
  const start = Math.floor(chunk.byteOffset / CHECKSUM_BLOCK_BYTES) * CHECKSUM_BLOCK_BYTES;
  const end = Math.min(chunk.fileBytes, Math.ceil((chunk.byteOffset + chunk.byteLength) / CHECKSUM_BLOCK_BYTES) * CHECKSUM_BLOCK_BYTES);
  const bytes = await storage.readRange(chunk.ref, start, end - start);
  if (bytes === null || bytes.length !== end - start) return null;
  for (let block = 0; block * CHECKSUM_BYTES < chunk.checksums.length; block += 1) {
    const from = block * CHECKSUM_BLOCK_BYTES;
    if (crc32(bytes.subarray(from, from + CHECKSUM_BLOCK_BYTES)) !== chunk.checksums.readUInt32BE(block * CHECKSUM_BYTES)) return null;
  }
  return bytes.subarray(chunk.byteOffset - start, chunk.byteOffset - start + chunk.byteLength);
}
