// The latest progress of a flow's phases from Redis, for answers that are complete without it too.
import type { Progress } from '@millrace/shared';
import { withTimeout, type Logger } from '@millrace/process';

export type ProgressReader = (flow: { workspace: string; flowId: string }) => Promise<Map<string, Progress>>;

/** Longer than this and the answer goes out without progress. */
const READ_TIMEOUT_MS = 250;

export type ProgressSource = {
  isReady(): boolean;
  /** JSON texts by phase name. */
  read(flow: { workspace: string; flowId: string }): Promise<Record<string, string>>;
};

export function createProgressReader({ source, log }: { source: ProgressSource; log: Logger }): ProgressReader {
  return async (flow) => {
    if (!source.isReady()) return new Map();
    try {
      const texts = await withTimeout(source.read(flow), READ_TIMEOUT_MS);
      return new Map(Object.entries(texts).map(([phase, text]) => [phase, JSON.parse(text) as Progress]));
    } catch (error) {
      log.debug({ err: error, flowId: flow.flowId }, 'progress could not be read');
      return new Map();
    }
  };
}
