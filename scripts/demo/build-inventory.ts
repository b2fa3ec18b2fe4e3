// Builds the demonstration's CSV from a lockfile and the packages installed beside it, as a stream: no inventory is ever in memory as text.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readInstalledMetadata, type InstalledMetadata } from './lockfile/installed-metadata.ts';
import { INVENTORY_COLUMNS, type InventoryRow } from './inventory-dataset.ts';
import { inventoryRows, type MetadataReader } from './inventory-rows.ts';
import { readLockfile } from './lockfile/read-lockfile.ts';

export type Inventory = {
  /** Rows that the CSV will have, without the header. */
  rowCount: number;
  /** UTF-8 text of the CSV in pieces of about 64 KiB. */
  csv: AsyncGenerator<string>;
};

const CHUNK_LENGTH = 64 * 1024;
const NEEDS_QUOTES_PATTERN = /[",\r\n]|^\s|\s$/;

/** @throws DemoError when the lockfile cannot be read or is none. */
export async function buildInventory(lockfilePath: string): Promise<Inventory> {
  const lockfile = await readLockfile(lockfilePath);
  const folder = dirname(lockfilePath);
  const installed = existsSync(join(folder, 'node_modules'));
  const nothing: InstalledMetadata = {};
  const readMetadata: MetadataReader = installed ? (path) => readInstalledMetadata(folder, path) : () => Promise.resolve(nothing);
  const rowCount = Object.entries(lockfile.packages).filter(([path, entry]) => path !== '' && entry.link !== true).length;
  return { rowCount, csv: csvChunks(inventoryRows(lockfile, readMetadata)) };
}

/** Lines end in CRLF, values are quoted where RFC 4180 asks for it. */
export async function* csvChunks(rows: AsyncIterable<InventoryRow>): AsyncGenerator<string> {
  const headers = INVENTORY_COLUMNS.map((column) => column.header);
  let chunk = csvLine(headers);
  for await (const row of rows) {
    chunk += csvLine(headers.map((header) => row[header]));
    if (chunk.length < CHUNK_LENGTH) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}

function csvLine(values: readonly string[]): string {
  return `${values.map((value) => (NEEDS_QUOTES_PATTERN.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(',')}\r\n`;
}
