// Finds where CSV records end across pushes, knowing quotes: a small state machine over bytes whose loops stop only at bytes
// that matter. Leaves cells to reading/csv-record.ts, which keeps the same rules inside a chunk.

import { byteOf } from '../reading/csv-record.ts';
import { fileFault } from '../types.ts';
import type { CsvDialect } from '../types.ts';
import type { BoundaryScanner } from './boundary-scanner.ts';
import { checkOpenRecord, createLineScanner, scanLines } from './boundary-scanner.ts';
import { endRecord } from './chunk-list.ts';
import type { ChunkList } from './chunk-list.ts';

const LF = 0x0a;
const CR = 0x0d;
const endOfDosFile = 0x1a;

// States; `closing` is behind a quote that may be half of a doubled one, `escaped` behind an escape character.
const outside = 0;
const inside = 1;
const closing = 2;
const escaped = 3;

interface Machine {
  list: ChunkList;
  quote: number;
  escape: number;
  isCrFile: boolean;
  /** Bytes that may stand before an opening quote. */
  opens: Uint8Array;
  /** Bytes that may stand after a closing quote. */
  closes: Uint8Array;
  /** Bytes to stop at outside quotes. */
  stops: Uint8Array;
  state: number;
  /** Last byte of the push before; a CR there waits for the next byte to tell whether it is half of a CRLF. */
  previous: number;
  /** Physical line of the quote that opened the cell. */
  quoteLine: number;
  base: number;
}

function tableOf(bytes: readonly number[]): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of bytes) table[byte] = 1;
  return table;
}

function createMachine(list: ChunkList, dialect: CsvDialect): Machine {
  const quote = byteOf(dialect.quote);
  const delimiter = byteOf(dialect.delimiter);
  const isCrFile = dialect.lineEnd === 'cr';
  const breaks = isCrFile ? [LF, CR] : [LF];
  return {
    list,
    quote,
    escape: byteOf(dialect.escape),
    isCrFile,
    opens: tableOf([delimiter, ...breaks]),
    closes: tableOf([delimiter, LF, CR, endOfDosFile]),
    stops: tableOf([quote, ...breaks]),
    state: outside,
    previous: LF,
    quoteLine: 0,
    base: 0,
  };
}

/** Ends a record or counts a line at the CR before position `p`, now that the byte at `p` is known not to be LF. */
function passLoneCr(machine: Machine, p: number): void {
  if (machine.state === inside) machine.list.line++;
  else endRecord(machine.list, machine.base + p);
}

function isLoneCr(machine: Machine, bytes: Buffer, p: number): boolean {
  return machine.isCrFile && bytes[p] === CR && p + 1 < bytes.length && bytes[p + 1] !== LF;
}

function scanOutside(machine: Machine, bytes: Buffer, from: number): number {
  const { list, stops, opens, quote } = machine;
  for (let p = from; p < bytes.length; p++) {
    const byte = bytes[p] as number;
    if (stops[byte] === 0) continue;
    if (byte === LF) {
      endRecord(list, machine.base + p + 1);
    } else if (byte === quote) {
      const before = p > 0 ? (bytes[p - 1] as number) : machine.previous;
      if (opens[before] === 0) continue;
      machine.state = inside;
      machine.quoteLine = list.line;
      return p + 1;
    } else if (isLoneCr(machine, bytes, p)) {
      passLoneCr(machine, p + 1);
    }
  }
  return bytes.length;
}

function scanInside(machine: Machine, bytes: Buffer, from: number): number {
  const { list, quote, escape, closes } = machine;
  for (let p = from; p < bytes.length; p++) {
    const byte = bytes[p];
    if (byte === quote) {
      // The next byte is nearly always at hand and ends the cell; only at the end of a push must it be waited for.
      const isClosed = p + 1 < bytes.length && closes[bytes[p + 1] as number] === 1;
      machine.state = isClosed ? outside : closing;
      return p + 1;
    }
    if (byte === LF) list.line++;
    else if (byte === escape) {
      machine.state = escaped;
      return p + 1;
    } else if (isLoneCr(machine, bytes, p)) passLoneCr(machine, p + 1);
  }
  return bytes.length;
}

/** Judges the byte behind a quote. A cell that spans lines and then goes on after its quote has no certain end. */
function leaveQuote(machine: Machine, byte: number, p: number): number {
  const { list, quote, escape, closes, quoteLine } = machine;
  if (byte === quote && escape === quote) {
    machine.state = inside;
    return p + 1;
  }
  if (closes[byte] === 0 && list.line !== quoteLine) {
    list.fault ??= fileFault(
      'unterminated-quote',
      `The quote opened at line ${quoteLine} is not closed before line ${list.line}, where text follows a quote.`,
      quoteLine,
    );
  }
  machine.state = outside;
  return p;
}

function leaveEscape(machine: Machine, byte: number, p: number): number {
  machine.state = inside;
  return byte === machine.quote || byte === machine.escape ? p + 1 : p;
}

function step(machine: Machine, bytes: Buffer, p: number): number {
  if (machine.state === outside) return scanOutside(machine, bytes, p);
  if (machine.state === inside) return scanInside(machine, bytes, p);
  const byte = bytes[p] as number;
  return machine.state === closing ? leaveQuote(machine, byte, p) : leaveEscape(machine, byte, p);
}

/** A record that grew too long while a cell spans lines is taken for a stray quote: that is what it nearly always is. */
function checkQuotedRecord(machine: Machine, position: number): void {
  const { list, quoteLine, state } = machine;
  const isTooLong = position - list.recordStart > list.maxRecordBytes;
  if (isTooLong && state !== outside && list.line !== quoteLine) {
    list.fault ??= fileFault(
      'unterminated-quote',
      `The quote opened at line ${quoteLine} is not closed within ${list.maxRecordBytes} bytes.`,
      quoteLine,
    );
  }
  checkOpenRecord(list, position);
}

function scanPush(machine: Machine, bytes: Buffer, base: number): void {
  if (bytes.length === 0) return;
  machine.base = base;
  const { list } = machine;
  if (machine.isCrFile && machine.previous === CR && bytes[0] !== LF) passLoneCr(machine, 0);
  const isUnquoted = machine.state === outside && !machine.isCrFile && bytes.indexOf(machine.quote) === -1;
  if (isUnquoted) scanLines(list, bytes, base);
  else for (let p = 0; p < bytes.length && list.fault === null;) p = step(machine, bytes, p);
  machine.previous = bytes[bytes.length - 1] as number;
  checkQuotedRecord(machine, base + bytes.length);
}

/** The scanner of one dialect; without a quote character every line end counts. */
export function createCsvScanner(list: ChunkList, dialect: CsvDialect): BoundaryScanner {
  if (dialect.quote === '' && dialect.lineEnd === 'lf') return createLineScanner(list);
  const machine = createMachine(list, dialect);
  return {
    scan: (bytes, base) => {
      scanPush(machine, bytes, base);
    },
    finish: () => {
      const isOpen = machine.state === inside || machine.state === escaped;
      return isOpen
        ? fileFault('unterminated-quote', `The quote opened at line ${machine.quoteLine} is never closed.`, machine.quoteLine)
        : null;
    },
  };
}
