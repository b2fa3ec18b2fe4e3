// The two tables make sense by themselves: every status can be reached, ends are ends, and every arrow says why.
import { describe, expect, it } from '@jest/globals';
import { FLOW_STATUSES, isTerminalFlow, PHASE_STATUSES } from '../statuses.ts';
import { FLOW_TRANSITIONS } from './flow-transitions.ts';
import { PHASE_TRANSITIONS } from './phase-transitions.ts';
import { mayChange, type Transition } from './transition.ts';

const tables: [string, readonly Transition<string>[], readonly string[]][] = [
  ['flows', FLOW_TRANSITIONS, FLOW_STATUSES],
  ['phases', PHASE_TRANSITIONS, PHASE_STATUSES],
];

describe.each(tables)('the transitions of %s', (_name, table, statuses) => {
  it('has each arrow once, with a full sentence', () => {
    expect(new Set(table.map(({ from, to }) => `${from} ${to}`)).size).toBe(table.length);
    for (const { from, to, because } of table) {
      expect(from).not.toBe(to);
      expect(because).toMatch(/^[A-Z].{10,}\.$/);
    }
  });

  it('reaches every status from the beginning', () => {
    const reached = new Set<string | null>([null]);
    for (let before = 0; before < reached.size;) {
      before = reached.size;
      for (const { from, to } of table) if (reached.has(from)) reached.add(to);
    }
    expect([...reached].filter((status) => status !== null).toSorted()).toEqual([...statuses].toSorted());
  });
});

describe('mayChange', () => {
  it('lets nothing leave an end but a new run of a flow that was not cancelled', () => {
    for (const from of FLOW_STATUSES.filter(isTerminalFlow))
      expect(FLOW_STATUSES.filter((to) => mayChange(FLOW_TRANSITIONS, from, to))).toEqual(
        from === 'cancelled' ? [] : ['queued', 'waiting'],
      );
  });

  it('lets go of a completed phase only for a new run', () => {
    expect(PHASE_STATUSES.filter((to) => mayChange(PHASE_TRANSITIONS, 'completed', to))).toEqual(['pending', 'queued', 'waiting']);
    expect(mayChange(PHASE_TRANSITIONS, 'running', 'completed')).toBe(true);
    expect(mayChange(PHASE_TRANSITIONS, null, 'running')).toBe(false);
  });
});
