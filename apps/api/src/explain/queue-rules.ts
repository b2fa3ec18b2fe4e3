// Where work of a flow is on its way: without a worker that could take it, without a queue, in line, lost, or running.
import { isTerminalFlow } from '@millrace/shared';
import type { PhaseFact } from '@millrace/store';
import { firstOf, FLOW_QUEUE, phaseBlocker, phaseText, plural, type Explanation, type FlowFacts } from './explanation.ts';

export const queueRules = {
  'no-worker': noWorker,
  'redis-away': redisAway,
  'waiting-for-time': forTime,
  'in-queue': inQueue,
  'lost-lease': lostLease,
  running,
} as const;

/** What is left of a lease of 10 s after two renewals, one every third of it, did not come: its worker is silent. */
const SILENT_LEASE_MS = 3_333;

// A flow whose phases are not made yet needs a worker with its code as well.
function wantsWorker(facts: FlowFacts): boolean {
  return firstOf(facts, 'backlog', 'dispatched', 'delayed', 'held-worker') !== undefined || isUnplanned(facts);
}

function isUnplanned({ flow }: FlowFacts): boolean {
  return !flow.planned && !isTerminalFlow(flow.status);
}

function noWorker(facts: FlowFacts): Explanation | undefined {
  const { flow, workers } = facts;
  if (workers.holding > 0 || !wantsWorker(facts)) return undefined;
  const held =
    workers.live === 0
      ? 'No worker is alive.'
      : workers.versions.length === 0
        ? `None of ${plural(workers.live, 'live worker')} knows this flow.`
        : `Live workers hold version ${workers.versions.join(', ')} of it.`;
  return {
    detail: `No live worker knows version ${flow.version} of ${flow.name}. ${held} It goes on when one starts that does.`,
    blockedBy: [{ kind: 'definition', id: `${flow.name}@${flow.version}` }],
  };
}

function redisAway(facts: FlowFacts): Explanation | undefined {
  if (facts.isRedisReady || !wantsWorker(facts)) return undefined;
  return {
    detail: 'Redis is away, so nothing can be dispatched. It goes on by itself when Redis is back.',
    blockedBy: [{ kind: 'redis', id: 'queue' }],
  };
}

// Only when nothing else of it could start sooner.
function forTime(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'delayed', 'scheduled');
  if (phase === undefined || firstOf(facts, 'backlog', 'dispatched', 'held-worker', 'running') !== undefined) return undefined;
  const why = phase.stand === 'delayed' && facts.delayReason !== null ? ` It was interrupted: ${facts.delayReason}.` : '';
  return {
    detail: `${phaseText(phase)} is put off until ${phase.dueAt?.toISOString() ?? 'later'}.${why}`,
    blockedBy: [phaseBlocker(phase)],
    clearsAt: phase.dueAt,
  };
}

function inQueue(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'dispatched', 'backlog');
  const blockedBy = [{ kind: 'queue' as const, id: FLOW_QUEUE }];
  if (isUnplanned(facts)) return { detail: 'Its phases are about to be made.', blockedBy };
  if (firstOf(facts, 'held-worker') !== undefined && phase === undefined)
    return { detail: 'A worker that knows it is alive again and will let it go within seconds.', blockedBy };
  if (phase === undefined) return undefined;
  const place = phase.stand === 'dispatched' ? 'in the queue' : 'in PostgreSQL, waiting for a place in the queue';
  const others = facts.ahead === null ? '' : ` ${plural(facts.ahead.count, 'phase')} of this workspace before it,`;
  return { detail: `${phaseText(phase)} is ${place};${others} ${plural(facts.workers.live, 'worker')} alive.`, blockedBy };
}

function lostLease(facts: FlowFacts): Explanation | undefined {
  const phase = facts.phases.find((candidate) => candidate.stand === 'running' && isSilent(candidate, facts.now));
  if (phase === undefined) return undefined;
  const takenOverAt = phase.dueAt ?? facts.now;
  return {
    detail: `The worker ${phase.worker ?? ''} that runs the phase ${phase.name} has gone silent. It is taken over at ${takenOverAt.toISOString()}.`,
    blockedBy: [phaseBlocker(phase), { kind: 'worker', id: phase.worker ?? '' }],
    clearsAt: takenOverAt,
  };
}

function isSilent({ dueAt }: PhaseFact, now: Date): boolean {
  return dueAt !== null && dueAt.getTime() - now.getTime() < SILENT_LEASE_MS;
}

function running(facts: FlowFacts): Explanation | undefined {
  const phases = facts.phases.filter((phase) => phase.stand === 'running');
  const [first] = phases;
  if (first === undefined) return undefined;
  const since = first.startedAt === null ? '' : ` since ${first.startedAt.toISOString()}`;
  const lease = first.dueAt === null ? '' : `, under a lease until ${first.dueAt.toISOString()}`;
  const workers = new Set(phases.flatMap(({ worker }) => (worker === null ? [] : [worker])));
  return {
    detail: `${phaseText(first)} runs on ${first.worker ?? 'a worker'}${since}${lease}.`,
    blockedBy: [...phases.map((phase) => phaseBlocker(phase)), ...[...workers].map((id) => ({ kind: 'worker' as const, id }))],
  };
}
