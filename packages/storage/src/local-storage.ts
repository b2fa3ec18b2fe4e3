// Keeps uploads in a folder of this machine (or one that all machines share): mode 0600, under random names, written aside and renamed when whole.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@millrace/shared';
import type { StorageWriter, UploadStorage } from './upload-storage.ts';

const REF_PATTERN = /^[0-9a-f]{32}$/;
const UNFINISHED_SUFFIX = '.part';
const NO_ROOM_CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];
/** The folder cannot be made or written: it belongs to somebody else, is read-only, or there is something else in its place. */
const NO_PLACE_CODES: readonly unknown[] = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EIO'];
/** Names a sweep asks about at once. */
const SWEEP_BATCH = 500;

export function createLocalStorage({ folder }: { folder: string }): UploadStorage {
  return {
    create: ({ bytesMax }) => createWriter(folder, bytesMax),
    readRange: (ref, offset, length) => readRange(pathOf(folder, ref), offset, length),
    size: async (ref) => (await whenThere(stat(pathOf(folder, ref))))?.size ?? null,
    remove: (ref) => rm(pathOf(folder, ref), { force: true }),
    sweep: (options) => sweep(folder, options),
  };
}

// Refs come from our own rows; the check keeps a wrong one from leaving the folder all the same.
function pathOf(folder: string, ref: string): string {
  if (!REF_PATTERN.test(ref)) throw new Error('this is no name of a stored file');
  return join(folder, ref);
}

async function createWriter(folder: string, bytesMax: number): Promise<StorageWriter> {
  const ref = randomBytes(16).toString('hex');
  const path = join(folder, ref);
  const unfinished = `${path}${UNFINISHED_SUFFIX}`;
  const handle = await withRoom(openNew(folder, unfinished));
  let sizeBytes = 0;
  let isOpen = true;
  const close = async () => {
    if (!isOpen) return;
    isOpen = false;
    await handle.close();
  };
  return {
    ref,
    write: async (bytes) => {
      if (sizeBytes + bytes.byteLength > bytesMax)
        throw new AppError('payload-too-large', { detail: `A file may have at most ${bytesMax} bytes.` });
      await withRoom(handle.appendFile(bytes));
      sizeBytes += bytes.byteLength;
    },
    commit: async () => {
      await withRoom(handle.sync());
      await close();
      await withRoom(rename(unfinished, path));
      await syncFolder(folder);
    },
    abort: async () => {
      await Promise.allSettled([close()]);
      await Promise.allSettled([rm(unfinished, { force: true }), rm(path, { force: true })]);
    },
  };
}

async function openNew(folder: string, path: string): Promise<FileHandle> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return open(path, 'wx', 0o600);
}

// Without this the name may be gone after a power cut although the bytes are there.
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readRange(path: string, offset: number, length: number): Promise<Buffer | null> {
  const handle = await whenThere(open(path, 'r'));
  if (handle === null) return null;
  try {
    const bytes = Buffer.allocUnsafeSlow(length);
    let read = 0;
    while (read < length) {
      const { bytesRead } = await handle.read(bytes, read, length - read, offset + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return bytes.subarray(0, read);
  } finally {
    await handle.close();
  }
}

async function sweep(folder: string, { olderThanMs, kept }: Parameters<UploadStorage['sweep']>[0]): Promise<number> {
  const names = (await whenThere(readdir(folder))) ?? [];
  const stale: string[] = [];
  for (const name of names) {
    if (!REF_PATTERN.test(name.replace(UNFINISHED_SUFFIX, ''))) continue;
    const found = await whenThere(stat(join(folder, name)));
    if (found !== null && Date.now() - found.mtimeMs > olderThanMs) stale.push(name);
  }
  let removed = 0;
  for (let from = 0; from < stale.length; from += SWEEP_BATCH) {
    const batch = stale.slice(from, from + SWEEP_BATCH);
    const wanted = await kept(batch.filter((name) => !name.endsWith(UNFINISHED_SUFFIX)));
    const left = batch.filter((name) => !wanted.has(name));
    await Promise.all(left.map((name) => rm(join(folder, name), { force: true })));
    removed += left.length;
  }
  return removed;
}

async function whenThere<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return null;
    throw error;
  }
}

async function withRoom<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (NO_ROOM_CODES.includes(code)) throw new AppError('insufficient-storage', {}, { cause: error });
    if (!NO_PLACE_CODES.includes(code)) throw error;
    throw new AppError('insufficient-storage', { detail: 'The folder for uploads cannot be written.' }, { cause: error });
  }
}
