// Draws docs/flow-lifecycle.md from the tables of transitions: a diagram of each, and the sentence that belongs to each arrow. Pure.
import { FLOW_TRANSITIONS, PHASE_TRANSITIONS, type Transition } from '@millrace/shared';

type Part = { title: string; intro: string; table: readonly Transition<string>[]; ends: readonly string[] };

const PARTS: readonly Part[] = [
  {
    title: 'Flows',
    intro:
      'A flow is `queued` until something of it runs, `waiting` while every open phase waits for a signal or a time, and `paused` while somebody keeps it from going on. `completed`, `failed` and `cancelled` are ends; only a failed flow may be run anew.',
    table: FLOW_TRANSITIONS,
    ends: ['completed', 'failed', 'cancelled'],
  },
  {
    title: 'Phases',
    intro:
      'A phase is `pending` until what it needs is done. A `queued` one may be held back by a pause, a limit, a rate or for want of a worker with its code; that changes when it starts, not what it is. `completed`, `failed`, `skipped`, `cancelled` and `quarantined` are the ends of a run; a retry of the flow opens all but `completed` again.',
    table: PHASE_TRANSITIONS,
    ends: ['completed', 'failed', 'skipped', 'cancelled', 'quarantined'],
  },
];

const HEAD = `<!-- Made by \`node scripts/docs/write-lifecycle.ts\` from packages/shared/src/lifecycle. Change it there. -->

# The life of a flow and its phases

Every change of status that can happen, and when. What is not drawn here does not happen: the databases of the tests refuse it.
`;

/** The whole page as Markdown. */
export function lifecyclePage(): string {
  return [HEAD, ...PARTS.map(drawPart)].join('\n');
}

function drawPart({ title, intro, table, ends }: Part): string {
  const arrows = table.map(({ from, to }) => `    ${from ?? '[*]'} --> ${to}`);
  const last = ends.map((end) => `    ${end} --> [*]`);
  const rows = table.map(
    ({ from, to, event, because }) =>
      `| ${from === null ? '' : `\`${from}\``} | \`${to}\` | ${event === null ? '' : `\`${event}\``} | ${because} |`,
  );
  return `## ${title}

${intro}

\`\`\`mermaid
stateDiagram-v2
${[...arrows, ...last].join('\n')}
\`\`\`

<!-- prettier-ignore -->
| from | to | event | when |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
