// A batch body: one JSON value per line, or one JSON array. A bad line is the line's fault, not the batch's.
import { AppError, fieldError, LIMITS } from '@millrace/shared';
import type { BatchLine, RawExchange } from '../route.ts';
import { requireMediaType } from './media-type.ts';
import { checksFor, decodeUtf8, parseJsonText } from './parse-json.ts';
import { checkJsonTree } from './check-json-tree.ts';
import { readBody } from './read-body.ts';

const NDJSON = 'application/x-ndjson';
const JSON_ARRAY = 'application/json';
const NEWLINE = 0x0a;
/** Space, tab, carriage return. */
const BLANK_BYTES: ReadonlySet<number> = new Set([0x20, 0x09, 0x0d]);
export const BATCH_MEDIA_TYPES = [NDJSON, JSON_ARRAY] as const;

/**
 * The lines in order; empty ones of an NDJSON body are skipped.
 * @throws AppError unsupported-media-type, payload-too-large (also for too many lines), malformed-json, invalid-encoding, or validation when there is no line
 */
export async function readBatch(exchange: RawExchange): Promise<BatchLine[]> {
  const type = requireMediaType(exchange.req, BATCH_MEDIA_TYPES);
  const bytes = await readBody(exchange, LIMITS.batchBytesMax);
  const lines = type === NDJSON ? readLines(bytes) : readArray(bytes);
  if (lines.length === 0) throw fieldError('validation', '', 'A batch needs at least one line.');
  if (lines.length > LIMITS.batchLinesMax) throw tooManyLines();
  return lines;
}

function readLines(bytes: Buffer): BatchLine[] {
  const lines = splitLines(bytes);
  if (lines.length > LIMITS.batchLinesMax) throw tooManyLines();
  return lines.map((line) => attempt(() => parseLine(decodeUtf8(line))));
}

// On bytes, so that a line that is not UTF-8 does not spoil the others: a newline byte is never part of a longer sequence.
function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline === -1 ? bytes.length : newline;
    const line = bytes.subarray(start, end);
    if (line.some((byte) => !BLANK_BYTES.has(byte))) lines.push(line);
    start = end + 1;
  }
  return lines;
}

function tooManyLines(): AppError {
  return new AppError('payload-too-large', { detail: `A batch may have at most ${LIMITS.batchLinesMax} lines.` });
}

function parseLine(text: string): unknown {
  if (text.length > LIMITS.bodyBytesMax)
    throw new AppError('payload-too-large', { detail: `A line may have at most ${LIMITS.bodyBytesMax} bytes.` });
  return parseJsonText(text);
}

function readArray(bytes: Buffer): BatchLine[] {
  const text = decodeUtf8(bytes);
  if (text.trim() === '') throw fieldError('validation', '', 'A batch needs at least one line.');
  const items = parseArray(text);
  const checks = checksFor(text);
  return items.map((item) =>
    attempt(() => {
      checkJsonTree(item, checks);
      return item;
    }),
  );
}

function parseArray(text: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AppError('malformed-json', {}, { cause: error });
  }
  if (!Array.isArray(value)) throw fieldError('validation', '', 'A JSON batch must be an array.');
  return value;
}

function attempt(parse: () => unknown): BatchLine {
  try {
    return { ok: true, value: parse() };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error : new Error(String(error)) };
  }
}
