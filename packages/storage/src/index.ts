// Where uploaded files live until they are imported. The only place that knows files; another kind of storage implements the same type.
export { blockChecksums, chunkChecksums, openChunk } from './block-checksums.ts';
export { createLocalStorage } from './local-storage.ts';
export type { StorageWriter, UploadStorage } from './upload-storage.ts';
