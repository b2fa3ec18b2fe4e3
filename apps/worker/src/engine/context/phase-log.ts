// ctx.log: lines become `log` events of the flow, written in groups while the phase runs and at the latest before it ends.
import type { Logger } from '@millrace/process';
import { LIMITS, storableJson } from '@millrace/shared';
import type { LogLevel, PhaseLog } from '@millrace/sdk';
import { appendLogs, isTransient, type ClaimedPhase, type Database, type LogLine } from '@millrace/store';
import type { EventPublisher } from '../event-publisher.ts';
import { throughOutage } from '../through-outage.ts';

export type BufferedPhaseLog = {
  log: PhaseLog;
  /** Writes everything that waits, through an outage of PostgreSQL too. Never fails. */
  flush(): Promise<void>;
  /** Forgets what waits and takes nothing more: the fence would refuse it. */
  abandon(): void;
};

const FLUSH_EVERY_MS = 250;
/** After a flush that PostgreSQL did not take. */
const RETRY_MS = 1_000;
const DATA_BYTES_MAX = 8_192;
/** Of one statement. */
const SLICE = { lines: 500, bytes: 256 * 1024 };
/** Of one attempt: lines in all, and bytes that may wait to be written. What is beyond is counted and said in one last line. */
const LINES_MAX = 10_000;
const WAITING_BYTES_MAX = 1024 * 1024;
/** What a line costs besides its text. */
const LINE_OVERHEAD_BYTES = 32;

type SizedLine = LogLine & { sizeBytes: number };

export function createPhaseLog(deps: {
  database: Database;
  publisher: EventPublisher;
  phase: ClaimedPhase;
  log: Logger;
}): BufferedPhaseLog {
  const buffer = createLineBuffer();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  // A slice leaves the buffer when it was written. One whose answer was lost is written again: a line may come twice, but never not at all.
  const writeAll = async (send: (lines: readonly LogLine[]) => Promise<void>) => {
    for (let slice = buffer.first(); slice.length > 0; slice = buffer.first()) {
      await send(slice);
      buffer.drop(slice);
    }
  };
  const append = async (lines: readonly LogLine[]) => {
    deps.publisher.publish(await appendLogs(deps.database, deps.phase, lines));
  };
  const failed = (error: unknown) => {
    deps.log.warn({ err: error, flowId: deps.phase.flowId, lines: buffer.count() }, 'log lines of a phase were not written');
    buffer.clear();
  };
  const writeSome = async () => {
    try {
      await writeAll(append);
    } catch (error) {
      if (isTransient(error)) schedule(RETRY_MS);
      else failed(error);
    }
  };
  const schedule = (afterMs: number) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      writing = writing.then(writeSome);
    }, afterMs);
  };
  const at = (level: LogLevel) => (message: string, data?: Record<string, unknown>) => {
    if (buffer.add(toLine(level, message, data))) schedule(FLUSH_EVERY_MS);
  };
  return {
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    flush: () => {
      buffer.addNotice();
      writing = writing.then(() => writeAll((lines) => throughOutage(() => append(lines)))).catch(failed);
      return writing.finally(() => {
        clearTimeout(timer);
        timer = undefined;
      });
    },
    abandon: () => {
      clearTimeout(timer);
      buffer.close();
    },
  };
}

type LineBuffer = {
  /** False when the line was dropped. */
  add(line: SizedLine): boolean;
  /** The oldest lines, as many as one statement takes; none when nothing waits. */
  first(): readonly SizedLine[];
  /** Takes out what `first` answered. */
  drop(slice: readonly SizedLine[]): void;
  /** Adds a line that says how many were dropped, if any were. */
  addNotice(): void;
  count(): number;
  clear(): void;
  close(): void;
};

function createLineBuffer(): LineBuffer {
  let waiting: SizedLine[] = [];
  let waitingBytes = 0;
  let accepted = 0;
  let dropped = 0;
  let isClosed = false;
  const clear = () => {
    waiting = [];
    waitingBytes = 0;
  };
  return {
    add: (line) => {
      if (isClosed) return false;
      if (accepted >= LINES_MAX || waitingBytes + line.sizeBytes > WAITING_BYTES_MAX) {
        dropped += 1;
        return false;
      }
      accepted += 1;
      waitingBytes += line.sizeBytes;
      waiting.push(line);
      return true;
    },
    first: () => {
      const slice: SizedLine[] = [];
      let bytes = 0;
      for (const line of waiting) {
        bytes += line.sizeBytes;
        if (slice.length >= SLICE.lines || (slice.length > 0 && bytes > SLICE.bytes)) break;
        slice.push(line);
      }
      return slice;
    },
    drop: (slice) => {
      // Nothing when the buffer was cleared meanwhile.
      if (waiting[0] !== slice[0]) return;
      waiting = waiting.slice(slice.length);
      waitingBytes -= slice.reduce((sum, line) => sum + line.sizeBytes, 0);
    },
    addNotice: () => {
      if (dropped === 0 || isClosed) return;
      const rule = `an attempt may write ${LINES_MAX}, and ${WAITING_BYTES_MAX / 1024} KiB may wait to be written`;
      waiting.push({ level: 'warn', message: `${dropped} more lines were dropped: ${rule}`, data: {}, sizeBytes: 0 });
      dropped = 0;
    },
    count: () => waiting.length,
    clear,
    close: () => {
      isClosed = true;
      clear();
    },
  };
}

function toLine(level: LogLevel, message: string, data: Record<string, unknown> | undefined): SizedLine {
  const json = data === undefined ? undefined : storableJson(data, DATA_BYTES_MAX);
  const kept = json === undefined ? {} : json.ok ? { data: JSON.parse(json.text) as unknown } : { dataDropped: json.problem };
  const text = String(message).replaceAll('\0', '\\0').slice(0, LIMITS.logMessageCharsMax).toWellFormed();
  const sizeBytes = LINE_OVERHEAD_BYTES + Buffer.byteLength(text) + (json?.ok === true ? Buffer.byteLength(json.text) : 0);
  return { level, message: text, data: kept, sizeBytes };
}
