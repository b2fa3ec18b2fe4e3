// Unpacks gzip and zstd content while it arrives, with back-pressure: named by Content-Encoding, or recognised by its first bytes.
// Limits on what comes out are kept by the sink.
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { AppError } from '@millrace/shared';
import { fileFault } from '@millrace/tabular';
import { ContentFault } from './content-fault.ts';

export type Packing = 'none' | 'gzip' | 'zstd';

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** Bytes that decide between the packings. */
const MAGIC_BYTES = 4;
const OUTPUT_BYTES = 256 * 1024;
const ENCODINGS: Readonly<Record<string, Packing>> = { '': 'none', identity: 'none', gzip: 'gzip', 'x-gzip': 'gzip', zstd: 'zstd' };

/** What Content-Encoding declares. @throws AppError unsupported-media-type for anything but gzip, zstd and identity */
export function declaredPacking(contentEncoding: string | undefined): Packing {
  const packing = ENCODINGS[(contentEncoding ?? '').trim().toLowerCase()];
  if (packing === undefined) throw new AppError('unsupported-media-type', { detail: 'Content-Encoding may be gzip, zstd or identity.' });
  return packing;
}

type Source = { next(): Promise<Buffer | null> };
type Sink = (bytes: Buffer) => Promise<void>;

/**
 * Hands the unpacked bytes to the sink. Errors of the source and of the sink pass through.
 * Several gzip members or zstd frames in a row are read as one; zeros after a gzip member are padding, as for gzip itself.
 * @throws ContentFault corrupt-archive
 */
export async function unpack(source: Source, declared: Packing, sink: Sink): Promise<void> {
  const head = await readHead(source);
  const packing = declared === 'none' ? sniffPacking(head) : declared;
  const unpacker = packing === 'none' ? { write: sink, end: () => Promise.resolve() } : createUnpacker(packing, sink);
  if (head.length > 0) await unpacker.write(head);
  for (let piece = await source.next(); piece !== null; piece = await source.next()) await unpacker.write(piece);
  await unpacker.end();
}

async function readHead(source: Source): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const piece = await source.next();
    if (piece === null) break;
    head = head.length === 0 ? piece : Buffer.concat([head, piece]);
  }
  return head;
}

function sniffPacking(head: Buffer): Packing {
  if (head.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return 'gzip';
  return head.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC) ? 'zstd' : 'none';
}

type Unpacker = { write(piece: Buffer): Promise<void>; end(): Promise<void> };

function createUnpacker(packing: Exclude<Packing, 'none'>, sink: Sink): Unpacker {
  let member: Member | null = null;
  let packedBytes = 0;
  let isPadding = false;
  return {
    write: async (piece) => {
      let rest = piece;
      while (rest.length > 0) {
        if (isPadding) return requirePadding(rest, packedBytes);
        member ??= openMember(packing, sink);
        const consumed = await member.write(rest);
        packedBytes += consumed;
        rest = rest.subarray(consumed);
        if (!member.hasEnded()) continue;
        member = null;
        // Node reads gzip members in a row by itself; what it leaves is padding or rubbish. Of zstd it reads one frame.
        isPadding = packing === 'gzip';
      }
    },
    end: async () => {
      await member?.end();
    },
  };
}

function requirePadding(bytes: Buffer, packedBytes: number): void {
  if (bytes.some((byte) => byte !== 0)) throw corrupt(`something else follows the archive after byte ${packedBytes}`);
}

function corrupt(reason: string): ContentFault {
  return new ContentFault(fileFault('corrupt-archive', `The archive cannot be unpacked: ${reason}.`));
}

type Member = {
  /** Answers how many bytes of the piece belong to this member; fewer than all only when it has ended. */
  write(piece: Buffer): Promise<number>;
  hasEnded(): boolean;
  end(): Promise<void>;
};

function openMember(packing: 'gzip' | 'zstd', sink: Sink): Member {
  const decoder = packing === 'gzip' ? createGunzip({ chunkSize: OUTPUT_BYTES }) : createZstdDecompress({ chunkSize: OUTPUT_BYTES });
  let hasEnded = false;
  let sinkError: Error | undefined;
  const output = (async () => {
    for await (const bytes of decoder) {
      try {
        await sink(bytes as Buffer);
      } catch (error) {
        sinkError = error instanceof Error ? error : new Error(String(error));
        throw error;
      }
    }
    hasEnded = true;
  })().catch((error: unknown) => {
    throw sinkError ?? corrupt(error instanceof Error ? error.message : 'unknown reason');
  });
  output.catch(() => undefined);
  return {
    write: async (piece) => {
      const before = decoder.bytesWritten;
      await Promise.race([
        new Promise<void>((resolve) => {
          decoder.write(piece, () => {
            resolve();
          });
        }),
        output,
      ]);
      if (decoder.errored !== null) await output;
      const consumed = decoder.bytesWritten - before;
      // The decoder wants nothing more: it has ended its output.
      if (consumed < piece.length) await output;
      return consumed;
    },
    hasEnded: () => hasEnded,
    end: async () => {
      decoder.end();
      await output;
    },
  };
}
