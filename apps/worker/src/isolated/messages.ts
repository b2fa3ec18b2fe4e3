// What a worker and the process of an isolated phase say to each other. Both load the same code, but handlers and their libraries may send
// messages of their own over the same channel: ours carry a mark, and whatever has none is passed over.
import type { DeliveryOutcome } from '@millrace/queue';
import type { Dispatch, QueueName } from '@millrace/shared';
import type { ClaimedPhase } from '@millrace/store';
import type { PhaseOutcome, StopReason } from '../engine/outcome.ts';

export type ToChild = { type: 'run'; phase: ClaimedPhase; workerId: string } | { type: 'stop'; reason: StopReason };

export type FromChild =
  /** The handler is about to be called. */
  | { type: 'started' }
  /** What a commit made ready: jobs that the worker puts into the queue. */
  | { type: 'dispatch'; queue: QueueName; dispatches: readonly Dispatch[] }
  /** A commit ended something that others wait for. */
  | { type: 'freed'; freed: Freed }
  /** Why the process is about to end. */
  | { type: 'fault'; message: string }
  | { type: 'ended'; outcome: PhaseOutcome['kind']; committed: boolean; delivery: DeliveryOutcome };

/** As PhaseCommits announces it. */
export type Freed = { children: boolean; admissions: boolean };

const MARK = 'millrace.isolated';

export type Marked<Message> = { mark: typeof MARK; body: Message };

export function marked<Message>(body: Message): Marked<Message> {
  return { mark: MARK, body };
}

/** The body of a message of ours; undefined for any other. */
export function bodyOf<Message extends ToChild | FromChild>(message: unknown): Message | undefined {
  if (message === null || typeof message !== 'object' || !('mark' in message) || message.mark !== MARK) return undefined;
  // Nobody else knows the mark, and the other side is this same code.
  return (message as Marked<Message>).body;
}
