// What keeps work of a flow from being dispatched at all: pauses, its start time, and limits.
import type { PhaseStand } from '@millrace/store';
import {
  firstOf,
  FLOW_QUEUE,
  phaseBlocker,
  phaseText,
  plural,
  reasonText,
  untilText,
  type Explanation,
  type FlowFacts,
} from './explanation.ts';

export const blockRules = {
  paused,
  'queue-paused': queuePaused,
  scheduled,
  'limit-full': limitFull,
  'rate-limited': rateLimited,
} as const;

/** Phases that a paused queue holds up: what is suspended or running does not notice. */
const NEED_QUEUE: readonly PhaseStand[] = ['backlog', 'dispatched', 'delayed', 'held-limit', 'held-rate', 'held-worker', 'scheduled'];

function paused({ flow }: FlowFacts): Explanation | undefined {
  if (flow.status !== 'paused' || flow.pause === null) return undefined;
  const { by, reason, at } = flow.pause;
  const until = flow.pause.until === null ? null : new Date(flow.pause.until);
  return {
    detail: `The flow was paused by ${by} at ${new Date(at).toISOString()}${untilText(until)}${reasonText(reason)}`,
    blockedBy: [{ kind: 'key', id: by }],
    clearsAt: until,
  };
}

// With a pause of the workspace and one for everybody, the one that lasts longer is what holds it up.
function queuePaused(facts: FlowFacts): Explanation | undefined {
  if (firstOf(facts, ...NEED_QUEUE) === undefined && facts.flow.planned) return undefined;
  const [pause] = facts.queuePauses.toSorted((a, b) => endMs(b.until) - endMs(a.until));
  if (pause === undefined) return undefined;
  const scope = pause.everybody ? 'for everybody' : 'for this workspace';
  return {
    detail: `The queue ${FLOW_QUEUE} was paused ${scope} by ${pause.by} at ${pause.at.toISOString()}${untilText(pause.until)}${reasonText(pause.reason)}`,
    blockedBy: [
      { kind: 'queue', id: FLOW_QUEUE },
      { kind: 'key', id: pause.by },
    ],
    clearsAt: pause.until,
  };
}

function endMs(until: Date | null): number {
  return until?.getTime() ?? Number.MAX_VALUE;
}

function scheduled({ flow, now }: FlowFacts): Explanation | undefined {
  if (flow.runAt === null || flow.runAt <= now) return undefined;
  return { detail: `It is to start at ${flow.runAt.toISOString()}.`, clearsAt: flow.runAt };
}

function limitFull({ flow, limit }: FlowFacts): Explanation | undefined {
  if (limit === null) return undefined;
  const key = flow.concurrencyKey ?? '';
  const holders = limit.holders.length === 0 ? '' : `, held by ${limit.holders.join(', ')}`;
  return {
    detail: `The concurrency key ${key} lets ${plural(flow.concurrencyLimit, 'flow')} run at a time${holders}. It is number ${limit.before + 1} in line.`,
    blockedBy: [{ kind: 'concurrency-key', id: key }, ...limit.holders.map((id) => ({ kind: 'flow' as const, id }))],
  };
}

function rateLimited(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'held-rate');
  if (phase === undefined || facts.rate === null) return undefined;
  const { key, windows, nextAt, before } = facts.rate;
  const allowed = windows.map(({ max, perMs }) => `${max} per ${perMs / 1_000} s`).join(', ');
  return {
    detail: `${phaseText(phase)} waits for its rate limit ${key}${allowed === '' ? '' : ` (${allowed})`}; ${plural(before, 'phase')} before it.`,
    blockedBy: [{ kind: 'rate-limit', id: key }, phaseBlocker(phase)],
    clearsAt: before === 0 && nextAt !== null && nextAt > facts.now ? nextAt : null,
  };
}
