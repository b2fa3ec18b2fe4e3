// Tells from the first bytes of a file whether it is text this package can read, and which format it looks like.
// Leaves delimiters and headers to csv-head.ts.

import { fileFault } from '../types.ts';
import type { FileFault, FileFormat } from '../types.ts';

const signatures: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['a PNG image', Buffer.from('89504e470d0a1a0a', 'hex')],
  ['a JPEG image', Buffer.from('ffd8ff', 'hex')],
  ['a GIF image', Buffer.from('GIF8')],
  ['an ELF program', Buffer.from('7f454c46', 'hex')],
  ['a PDF document', Buffer.from('%PDF-')],
  ['a zip archive or Office document', Buffer.from('504b0304', 'hex')],
  ['an empty zip archive', Buffer.from('504b0506', 'hex')],
  ['an old Office document', Buffer.from('d0cf11e0a1b11ae1', 'hex')],
  ['a gzip archive inside another', Buffer.from('1f8b08', 'hex')],
  ['a zstd archive inside another', Buffer.from('28b52ffd', 'hex')],
  ['an xz archive', Buffer.from('fd377a585a00', 'hex')],
  ['a 7z archive', Buffer.from('377abcaf271c', 'hex')],
  ['a bzip2 archive', Buffer.from('BZh91AY&SY')],
  ['a Parquet file', Buffer.from('5041523115', 'hex')],
  ['an SQLite database', Buffer.from('SQLite format 3\0')],
];

const foreignMarks: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['UTF-32', Buffer.from('fffe0000', 'hex')],
  ['UTF-32', Buffer.from('0000feff', 'hex')],
  ['UTF-16', Buffer.from('fffe', 'hex')],
  ['UTF-16', Buffer.from('feff', 'hex')],
];

const utf8Mark = Buffer.from('efbbbf', 'hex');
const lineFeed = 0x0a;
/** Without a line end, this much of the head counts as the first line. */
const firstLineBytes = 1024;

function startsWith(head: Buffer, bytes: Buffer): boolean {
  return head.length >= bytes.length && head.subarray(0, bytes.length).equals(bytes);
}

/** Length of the UTF-8 byte order mark at the start: 3 or 0. */
export function byteOrderMarkLength(head: Buffer): number {
  return startsWith(head, utf8Mark) ? utf8Mark.length : 0;
}

/** Control characters other than tab, line ends, form feed, Ctrl-Z and escape; text has next to none. */
function countControls(head: Buffer): number {
  let count = 0;
  for (const byte of head) if (byte < 9 || (byte > 13 && byte < 32 && byte !== 0x1a && byte !== 0x1b)) count++;
  return count;
}

/** Whether every second byte is NUL, as in UTF-16 text of ASCII characters without a byte order mark. */
function looksWide(head: Buffer): boolean {
  const sample = head.subarray(0, 256);
  let even = 0;
  let odd = 0;
  for (const [index, byte] of sample.entries()) {
    if (byte !== 0) continue;
    if (index % 2 === 0) even++;
    else odd++;
  }
  return sample.length >= 4 && Math.max(even, odd) >= sample.length * 0.4 && Math.min(even, odd) <= sample.length * 0.05;
}

/**
 * The fault of a head that is no UTF-8 text, or null. A NUL in a later line is left to the row it stands in;
 * in the first line, or among many control characters, it means a binary file.
 */
export function sniffForeignFile(head: Buffer): FileFault | null {
  const mark = foreignMarks.find(([, bytes]) => startsWith(head, bytes));
  if (mark !== undefined) return fileFault('unsupported-encoding', `The file is ${mark[0]}; only UTF-8 is read.`, 1);
  const signature = signatures.find(([, bytes]) => startsWith(head, bytes));
  if (signature !== undefined) return fileFault('unsupported-file', `The file is ${signature[0]}, not text.`);
  if (looksWide(head)) return fileFault('unsupported-encoding', 'The file looks like UTF-16; only UTF-8 is read.', 1);
  const lineEnd = head.indexOf(lineFeed);
  const firstLine = head.subarray(0, lineEnd === -1 ? firstLineBytes : lineEnd);
  const controls = countControls(head);
  const isBinary = (firstLine.includes(0) && firstLine[0] !== 0x7b) || (controls > 8 && controls > head.length * 0.05);
  return isBinary ? fileFault('unsupported-file', 'The file is binary, not text.') : null;
}

/** NDJSON starts with an object (or, wrongly, an array of them: its lines are then rejected one by one); all else is CSV. */
export function inferFormat(head: Buffer): FileFormat {
  const text = head.subarray(byteOrderMarkLength(head)).toString('latin1', 0, 4096).trimStart();
  return /^(?:\{\s*(?:"|\}|$)|\[\s*(?:\{|\]|$))/.test(text) ? 'ndjson' : 'csv';
}
