// What a storage for uploads can do, wherever it keeps its bytes.

/** Takes the bytes of one new file in order. Nothing is visible before `commit`; after `abort` nothing is left. */
export type StorageWriter = {
  /** The name the file will have: random, made here, never from what a client sent. */
  readonly ref: string;
  /** @throws AppError insufficient-storage when there is no room, payload-too-large beyond the writer's limit */
  write(bytes: Uint8Array): Promise<void>;
  /** Settles when the file is durable. */
  commit(): Promise<void>;
  /** May be called at any time, also after `commit`, and never throws. */
  abort(): Promise<void>;
};

export type UploadStorage = {
  /** @param bytesMax the most this file may hold */
  create(options: { bytesMax: number }): Promise<StorageWriter>;
  /** The bytes from `offset`, fewer than `length` where the file ends earlier. Null when there is no such file. */
  readRange(ref: string, offset: number, length: number): Promise<Buffer | null>;
  /** In bytes. Null when there is no such file. */
  size(ref: string): Promise<number | null>;
  /** Removing what is not there is no fault. */
  remove(ref: string): Promise<void>;
  /**
   * Removes what dead processes left behind: files that nobody has written to for `olderThanMs` and that are unfinished or not among those kept.
   * Answers how many. @param kept which of the given files are still referred to
   */
  sweep(options: { olderThanMs: number; kept(refs: readonly string[]): Promise<ReadonlySet<string>> }): Promise<number>;
};
