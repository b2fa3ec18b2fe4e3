// A worker as clients read it.
import type { QueueName, WorkerAnswer } from '@millrace/shared';
import type { StoredWorker } from '@millrace/store';

export function workerAnswer(worker: StoredWorker): WorkerAnswer {
  return {
    id: worker.id,
    host: worker.host,
    pid: worker.pid,
    status: worker.alive ? (worker.stopping ? 'stopping' : 'alive') : 'dead',
    startedAt: worker.started_at.toISOString(),
    seenAt: worker.seen_at.toISOString(),
    concurrency: worker.concurrency,
    running: worker.running,
    queues: worker.queues as QueueName[],
    definitions: worker.definitions,
    work: worker.work.map(({ queue, id, subject_id: subjectId, workspace, name, started_at: startedAt, lease_until: leaseUntil }) => ({
      queue,
      id,
      ...(queue === 'flow-phase' ? { flowId: subjectId } : { importId: subjectId }),
      workspace,
      name,
      startedAt: new Date(startedAt).toISOString(),
      leaseUntil: new Date(leaseUntil).toISOString(),
    })),
  };
}
