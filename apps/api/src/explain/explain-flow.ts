// Names the one cause why a flow does not go on. Pure: a rule for each cause over facts, asked in the order of EXPLAIN_CAUSES; the first that
// holds answers. What needs somebody's action, or a time that is known, is named before what only needs patience.
import { EXPLAIN_CAUSES, isTerminalFlow, type ExplainAnswer, type ExplainCause } from '@millrace/shared';
import type { Explanation, FlowFacts, Rule } from './explanation.ts';
import { blockRules } from './block-rules.ts';
import { queueRules } from './queue-rules.ts';
import { waitRules } from './wait-rules.ts';

const RULES: Readonly<Record<ExplainCause, Rule>> = { finished, ...blockRules, ...waitRules, ...queueRules };

export function explainFlow(facts: FlowFacts): ExplainAnswer {
  for (const cause of EXPLAIN_CAUSES) {
    const found = RULES[cause](facts);
    if (found !== undefined) return answer(cause, found);
  }
  return answer('in-queue', { detail: 'Nothing of it is ready just now; the reconciler looks after it.' });
}

function answer(cause: ExplainCause, { detail, blockedBy = [], clearsAt = null }: Explanation): ExplainAnswer {
  return { cause, detail, blockedBy: [...blockedBy], clearsAt: clearsAt?.toISOString() ?? null };
}

function finished({ flow }: FlowFacts): Explanation | undefined {
  if (!isTerminalFlow(flow.status)) return undefined;
  return { detail: `The flow is ${flow.status}${flow.finishedAt === null ? '' : ` since ${flow.finishedAt.toISOString()}`}.` };
}
