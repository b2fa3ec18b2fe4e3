// What travels through Redis: ids only.

export const QUEUE_NAMES = ['flow-phase', 'data-import'] as const;
export type QueueName = (typeof QUEUE_NAMES)[number];

/** One delivery. `id` is a phase or a chunk; `generation` rises with every new dispatch, so an old delivery knows that it is stale. */
export type JobRef = { id: string; generation: number };

/** BullMQ's job id: it must not contain ':' nor be all digits. */
export function jobIdOf(ref: JobRef): string {
  return `${ref.id}-${ref.generation}`;
}

/** A delivery with what the queue needs to order and retry it. Workspaces share the queue fairly. */
export type Dispatch = JobRef & { workspace: string; priority: number; attempts: number; delayMs: number };
