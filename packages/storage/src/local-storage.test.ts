import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { blockChecksums, CHECKSUM_BLOCK_BYTES, chunkChecksums, openChunk } from './block-checksums.ts';
import { createLocalStorage } from './local-storage.ts';
import type { UploadStorage } from './upload-storage.ts';

const ROOM = { bytesMax: 10_000_000 };

describe('local storage', () => {
  let folder: string;
  let storage: UploadStorage;
  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'millrace-storage-')), 'uploads');
    storage = createLocalStorage({ folder });
  });
  afterEach(async () => {
    await rm(join(folder, '..'), { recursive: true, force: true });
  });

  const store = async (bytes: Buffer) => {
    const writer = await storage.create(ROOM);
    await writer.write(bytes);
    await writer.commit();
    return writer.ref;
  };

  it('shows a file only once it is committed, readable by its owner alone', async () => {
    const writer = await storage.create(ROOM);
    await writer.write(Buffer.from('hello '));
    await writer.write(Buffer.from('world'));
    expect(await storage.size(writer.ref)).toBeNull();
    await writer.commit();
    expect(await storage.size(writer.ref)).toBe(11);
    expect((await stat(join(folder, writer.ref))).mode & 0o777).toBe(0o600);
    expect((await storage.readRange(writer.ref, 6, 5))?.toString()).toBe('world');
    expect((await storage.readRange(writer.ref, 9, 100))?.toString()).toBe('ld');
  });

  it('leaves nothing behind after an abort, before or after the commit', async () => {
    const writer = await storage.create(ROOM);
    await writer.write(Buffer.from('x'));
    await writer.abort();
    const committed = await storage.create(ROOM);
    await committed.commit();
    await committed.abort();
    await committed.abort();
    expect(await readdir(folder)).toEqual([]);
  });

  it('takes no more bytes than it was told', async () => {
    const writer = await storage.create({ bytesMax: 3 });
    await writer.write(Buffer.from('abc'));
    await expect(writer.write(Buffer.from('d'))).rejects.toMatchObject({ code: 'payload-too-large' });
    await writer.abort();
  });

  it.each(['a file in its place', 'a file above it'])('has no room where its folder cannot be made: %s', async (where) => {
    const parent = join(folder, '..');
    await writeFile(join(parent, 'occupied'), '');
    const blocked = createLocalStorage({ folder: join(parent, 'occupied', ...(where === 'a file above it' ? ['uploads'] : [])) });
    await expect(blocked.create(ROOM)).rejects.toMatchObject({
      code: 'insufficient-storage',
      details: { detail: 'The folder for uploads cannot be written.' },
      cause: { code: where === 'a file above it' ? 'ENOTDIR' : 'EEXIST' },
    });
  });

  it('knows nothing of what is not there, and does not leave its folder', async () => {
    const ref = 'f'.repeat(32);
    expect([await storage.size(ref), await storage.readRange(ref, 0, 1)]).toEqual([null, null]);
    await storage.remove(ref);
    await expect(storage.size('../../etc/passwd')).rejects.toThrow('no name');
  });

  it('sweeps unfinished and unreferenced files once they are old', async () => {
    const [kept, orphan, young] = [await store(Buffer.from('1')), await store(Buffer.from('2')), await store(Buffer.from('3'))];
    const abandoned = await storage.create(ROOM);
    const [unfinished] = (await readdir(folder)).filter((name) => name.endsWith('.part'));
    await writeFile(join(folder, 'not-ours.txt'), '');
    const longAgo = new Date(Date.now() - 7_200_000);
    for (const name of [kept, orphan, unfinished, 'not-ours.txt']) await utimes(join(folder, name ?? ''), longAgo, longAgo);
    expect(
      await storage.sweep({ olderThanMs: 3_600_000, kept: (refs) => Promise.resolve(new Set(refs.filter((ref) => ref === kept))) }),
    ).toBe(2);
    expect((await readdir(folder)).sort()).toEqual([kept, young, 'not-ours.txt'].sort());
    await abandoned.abort();
  });

  describe('checksums', () => {
    const bytes = Buffer.alloc(3 * CHECKSUM_BLOCK_BYTES + 17, 'millrace ');
    const blocks = () => {
      const checksums = blockChecksums();
      for (let from = 0; from < bytes.length; from += 100_003) checksums.push(bytes.subarray(from, from + 100_003));
      return checksums.end();
    };
    const chunks = [
      { byteOffset: 0, byteLength: 10 },
      { byteOffset: CHECKSUM_BLOCK_BYTES - 5, byteLength: 10 },
      { byteOffset: CHECKSUM_BLOCK_BYTES, byteLength: 2 * CHECKSUM_BLOCK_BYTES },
      { byteOffset: bytes.length - 3, byteLength: 3 },
    ];

    it.each(chunks)('opens the chunk at %o', async (chunk) => {
      const ref = await store(bytes);
      const opened = await openChunk(storage, { ...chunk, ref, checksums: chunkChecksums(blocks(), chunk), fileBytes: bytes.length });
      expect(opened?.equals(bytes.subarray(chunk.byteOffset, chunk.byteOffset + chunk.byteLength))).toBe(true);
    });

    it.each(chunks)('notices one changed byte in the chunk at %o', async (chunk) => {
      const changed = Buffer.from(bytes);
      changed[chunk.byteOffset + chunk.byteLength - 1] = 0;
      const ref = await store(changed);
      expect(await openChunk(storage, { ...chunk, ref, checksums: chunkChecksums(blocks(), chunk), fileBytes: bytes.length })).toBeNull();
    });

    it('notices that a file was cut, grew or is gone', async () => {
      const [chunk] = chunks;
      if (chunk === undefined) throw new Error('there is a first chunk');
      const checksums = chunkChecksums(blocks(), chunk);
      for (const stored of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.from('x')])]) {
        expect(
          await openChunk(storage, { ...chunk, ref: await store(Buffer.from(stored)), checksums, fileBytes: bytes.length }),
        ).toBeNull();
      }
      expect(await openChunk(storage, { ...chunk, ref: 'a'.repeat(32), checksums, fileBytes: bytes.length })).toBeNull();
    });
  });
});
