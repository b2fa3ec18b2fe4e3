// The doorbell: events and progress travel over Redis channels to every API process. Lossy by nature; whoever listens
// fills gaps from PostgreSQL.
import type { ChainableCommander } from 'ioredis';
import type { RedisClient } from './connection.ts';
import type { Keys } from './keys.ts';

export type UpdateSubject = { workspace: string; subjectId: string };
export type UpdateMessage = UpdateSubject & { json: string };

export type UpdatePublisher = {
  /**
   * Which of these subjects somebody listens to now. Who begins to listen later reads PostgreSQL after that, so it misses nothing that was
   * committed before this is asked.
   */
  heard(subjects: readonly UpdateSubject[]): Promise<boolean[]>;
  /** Publishes events (a JSON array per subject) after their commit, in one pipeline. */
  publishEvents(messages: readonly UpdateMessage[]): Promise<void>;
  /** Keeps and publishes the latest progress of phases. */
  publishProgress(reports: readonly (UpdateMessage & { phase: string })[]): Promise<void>;
  /** Tells all workers something about running or waiting work. */
  publishControl(message: ControlMessage): Promise<void>;
};

/**
 * `cancel`: the flow was cancelled; whoever runs a phase of it must stop. `admissions`: something waits for a place under a concurrency key or
 * for a rate limit. `backlog`: ready phases wait in PostgreSQL for a place in the queue. `code`: a phase waits for a worker with its code.
 */
export type ControlMessage = { type: 'cancel'; flowId: string } | { type: 'admissions' } | { type: 'backlog' } | { type: 'code' };

const PROGRESS_TTL_SECONDS = 24 * 3_600;

export function createUpdatePublisher({ client, keys }: { client: RedisClient; keys: Keys }): UpdatePublisher {
  return {
    heard: async (subjects) => {
      if (subjects.length === 0) return [];
      const answer = await client.pubsub('NUMSUB', ...subjects.map(({ workspace, subjectId }) => keys.updates(workspace, subjectId)));
      // Channel and count in turn.
      return subjects.map((_, index) => Number(answer[index * 2 + 1]) > 0);
    },
    publishEvents: async (messages) => {
      if (messages.length === 0) return;
      const pipeline = client.pipeline();
      for (const message of messages) pipeline.publish(keys.updates(message.workspace, message.subjectId), message.json);
      await execute(pipeline);
    },
    publishProgress: async (reports) => {
      const pipeline = client.pipeline();
      for (const report of reports) {
        const state = keys.progressState(report.workspace, report.subjectId);
        pipeline
          .hset(state, report.phase, report.json)
          .expire(state, PROGRESS_TTL_SECONDS)
          .publish(keys.progressChannel(report.workspace, report.subjectId), report.json);
      }
      await execute(pipeline);
    },
    publishControl: async (message) => {
      await client.publish(keys.control(), JSON.stringify(message));
    },
  };
}

// A pipeline itself never fails: each of its commands answers with its own error, also when none could be sent.
async function execute(pipeline: ChainableCommander): Promise<void> {
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

/** The latest progress of each phase of a flow that has reported any, as JSON texts by phase name. */
export async function readProgress(client: RedisClient, key: string): Promise<Record<string, string>> {
  return client.hgetall(key);
}
