import { describe, expect, it } from '@jest/globals';
import { FLOW_END_EVENTS, IMPORT_END_EVENTS, isEndEvent } from './event.ts';
import { newGroupId } from './ids.ts';
import { jobIdOf, QUEUE_NAMES } from './job.ts';
import { roleAllows, ROLES } from './roles.ts';
import { FLOW_STATUSES, IMPORT_STATUSES, isTerminalFlow, isTerminalImport } from './statuses.ts';

describe('statuses and events', () => {
  it('end a flow in exactly three ways, each with an event of its own', () => {
    const ends = FLOW_STATUSES.filter(isTerminalFlow);
    expect(ends).toEqual(['completed', 'failed', 'cancelled']);
    expect(ends.map((status) => `flow.${status}`)).toEqual([...FLOW_END_EVENTS]);
  });

  it('end an import in exactly four ways, each with an event of its own', () => {
    const ends = IMPORT_STATUSES.filter(isTerminalImport);
    expect(ends.map((status) => `import.${status}`)).toEqual([...IMPORT_END_EVENTS]);
  });

  it.each(['flow.queued', 'flow.started', 'phase.completed', 'phase.failed', 'log', 'import.chunk', ''])(
    'do not take %j for the end of a run',
    (type) => {
      expect(isEndEvent(type)).toBe(false);
    },
  );

  it('take every end event for the end of a run', () => {
    expect([...FLOW_END_EVENTS, ...IMPORT_END_EVENTS].every(isEndEvent)).toBe(true);
  });
});

describe('roleAllows', () => {
  it('lets every role do what the roles before it may, and nothing above', () => {
    for (const [held, role] of ROLES.entries())
      expect(ROLES.map((needed) => roleAllows(role, needed))).toEqual(ROLES.map((_, needed) => held >= needed));
  });
});

describe('jobIdOf', () => {
  it('makes ids that the queue accepts: no colon, not all digits', () => {
    const id = newGroupId();
    expect(jobIdOf({ id, generation: 3 })).toBe(`${id}-3`);
    expect(jobIdOf({ id, generation: 3 })).not.toContain(':');
    expect(QUEUE_NAMES.every((name) => !name.includes(':'))).toBe(true);
  });
});
