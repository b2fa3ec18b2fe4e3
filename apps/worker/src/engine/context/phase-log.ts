// ctx.log: lines become `log` events of the flow, written in groups while the phase runs and at the latest before it ends.
import type { Logger } from '@millrace/process';
import { LIMITS, storableJson } from '@millrace/shared';
import type { LogLevel, PhaseLog } from '@millrace/sdk';
import { appendLogs, type ClaimedPhase, type Database, type LogLine } from '@millrace/store';
import type { EventPublisher } from '../event-publisher.ts';

export type BufferedPhaseLog = { log: PhaseLog; flush(): Promise<void> };

const FLUSH_EVERY_MS = 250;
const DATA_BYTES_MAX = 8_192;
/** Lines of one attempt. What is beyond is counted and said in one last line. */
const LINES_MAX = 10_000;

export function createPhaseLog(deps: {
  database: Database;
  publisher: EventPublisher;
  phase: ClaimedPhase;
  log: Logger;
}): BufferedPhaseLog {
  let waiting: LogLine[] = [];
  let accepted = 0;
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  const write = async () => {
    const lines = waiting;
    waiting = [];
    if (lines.length === 0) return;
    try {
      deps.publisher.publish(await appendLogs(deps.database, deps.phase, lines));
    } catch (error) {
      deps.log.warn({ err: error, flowId: deps.phase.flowId, lines: lines.length }, 'log lines of a phase were not written');
    }
  };
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write);
    return writing;
  };
  const add = (level: LogLevel, message: string, data: Record<string, unknown> | undefined) => {
    if (accepted >= LINES_MAX) {
      dropped += 1;
      return;
    }
    accepted += 1;
    waiting.push(toLine(level, message, data));
    timer ??= setTimeout(() => {
      void flush();
    }, FLUSH_EVERY_MS);
  };
  const at = (level: LogLevel) => (message: string, data?: Record<string, unknown>) => {
    add(level, message, data);
  };
  return {
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    flush: () => {
      if (dropped > 0)
        waiting.push({ level: 'warn', message: `${dropped} more lines were dropped: an attempt may write ${LINES_MAX}`, data: {} });
      dropped = 0;
      return flush();
    },
  };
}

function toLine(level: LogLevel, message: string, data: Record<string, unknown> | undefined): LogLine {
  const json = data === undefined ? undefined : storableJson(data, DATA_BYTES_MAX);
  const kept = json === undefined ? {} : json.ok ? { data: JSON.parse(json.text) as unknown } : { dataDropped: json.problem };
  return { level, message: String(message).replaceAll('\0', '\\0').slice(0, LIMITS.logMessageCharsMax).toWellFormed(), data: kept };
}
