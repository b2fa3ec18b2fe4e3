// What a flow waits for without holding a worker: signals, times, children, callbacks, and the next attempt.
import { firstOf, phaseBlocker, phaseText, plural, untilText, type Explanation, type FlowFacts } from './explanation.ts';

export const waitRules = {
  'waiting-for-signal': forSignal,
  sleeping,
  'waiting-for-children': forChildren,
  'waiting-for-callback': forCallback,
  retrying,
} as const;

function forSignal(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'signal');
  if (phase === undefined) return undefined;
  return {
    detail: `${phaseText(phase)} waits for the signal ${phase.signals.join(' or ')}${untilText(phase.dueAt)}.`,
    blockedBy: [...phase.signals.map((id) => ({ kind: 'signal' as const, id })), phaseBlocker(phase)],
    clearsAt: phase.dueAt,
  };
}

function sleeping(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'time');
  if (phase === undefined) return undefined;
  return { detail: `${phaseText(phase)} sleeps${untilText(phase.dueAt)}.`, blockedBy: [phaseBlocker(phase)], clearsAt: phase.dueAt };
}

function forChildren(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'children');
  if (phase === undefined) return undefined;
  const { ids, count } = facts.children ?? { ids: [], count: 0 };
  return {
    detail: `${phaseText(phase)} waits for ${plural(count, 'child flow')}.`,
    blockedBy: [...ids.map((id) => ({ kind: 'flow' as const, id })), phaseBlocker(phase)],
  };
}

function forCallback(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'callback');
  if (phase === undefined) return undefined;
  return {
    detail: `${phaseText(phase)} waits for the service it called to call back${untilText(phase.dueAt)}.`,
    blockedBy: [phaseBlocker(phase)],
    clearsAt: phase.dueAt,
  };
}

function retrying(facts: FlowFacts): Explanation | undefined {
  const phase = firstOf(facts, 'retrying');
  if (phase === undefined) return undefined;
  const error = phase.error === null ? '' : ` with ${phase.error.code}: ${phase.error.message}`;
  return {
    detail: `${phaseText(phase)} failed in attempt ${phase.attempts} of ${phase.attemptMax}${error}. The next is at ${phase.dueAt?.toISOString() ?? 'once'}.`,
    blockedBy: [phaseBlocker(phase)],
    clearsAt: phase.dueAt,
  };
}
