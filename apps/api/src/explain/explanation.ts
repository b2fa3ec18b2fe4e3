// What explaining a flow starts from, the form of an explanation, and the few phrases that explanations share.
import type { BlockerKind } from '@millrace/shared';
import { AHEAD_MAX, type ExplainFacts, type PhaseFact, type PhaseStand } from '@millrace/store';

/** `isRedisReady`: whether jobs can be put into the queue just now, as this process sees it. */
export type FlowFacts = ExplainFacts & { isRedisReady: boolean };

export type Explanation = {
  detail: string;
  blockedBy?: readonly { kind: BlockerKind; id: string }[];
  clearsAt?: Date | null;
};

/** Undefined when this is not the cause. */
export type Rule = (facts: FlowFacts) => Explanation | undefined;

export const FLOW_QUEUE = 'flow-phase';

/** The soonest phase that stands like one of these. */
export function firstOf({ phases }: FlowFacts, ...stands: readonly PhaseStand[]): PhaseFact | undefined {
  return phases.find((phase) => stands.includes(phase.stand));
}

export function phaseBlocker({ id }: PhaseFact): { kind: 'phase'; id: string } {
  return { kind: 'phase', id };
}

export function plural(count: number, noun: string): string {
  const number = count >= AHEAD_MAX ? `${AHEAD_MAX.toLocaleString('en')} or more` : count.toLocaleString('en');
  return `${number} ${noun}${count === 1 ? '' : 's'}`;
}

/** The phase by name, and how many others of its flow stand the same. */
export function phaseText({ name, standCount }: PhaseFact): string {
  return standCount <= 1 ? `The phase ${name}` : `The phase ${name}, like ${plural(standCount - 1, 'other')},`;
}

/** ": reason", or nothing. */
export function reasonText(reason: string | null): string {
  return reason === null || reason === '' ? '' : `: ${reason}`;
}

/** " until then", or nothing. */
export function untilText(until: Date | null): string {
  return until === null ? '' : ` until ${until.toISOString()}`;
}
