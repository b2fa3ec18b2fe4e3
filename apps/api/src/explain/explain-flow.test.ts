import { describe, expect, it } from '@jest/globals';
import { EXPLAIN_CAUSES, explainSchema, type ExplainCause } from '@millrace/shared';
import type { PhaseFact, PhaseStand } from '@millrace/store';
import { explainFlow } from './explain-flow.ts';
import type { FlowFacts } from './explanation.ts';

const now = new Date('2027-01-01T12:00:00Z');
const later = (seconds: number) => new Date(now.getTime() + seconds * 1_000);
const FLOW_ID = '01970000-0000-7000-8000-000000000000';

function phase(stand: PhaseStand, changes: Partial<PhaseFact> = {}): PhaseFact {
  return {
    id: '01970000-0000-7000-8000-000000000001',
    name: 'load',
    stand,
    standCount: 1,
    rank: '1',
    attempts: 0,
    attemptMax: 4,
    error: null,
    rateKey: null,
    signals: [],
    worker: null,
    startedAt: null,
    dueAt: null,
    ...changes,
  };
}

type Changes = Omit<Partial<FlowFacts>, 'flow'> & { flow?: Partial<FlowFacts['flow']> };

function facts({ flow = {}, ...changes }: Changes): FlowFacts {
  return {
    now,
    flow: {
      id: FLOW_ID,
      workspace: 'default',
      name: 'discovery',
      version: 2,
      status: 'running',
      planned: true,
      runAt: null,
      finishedAt: null,
      pause: null,
      admitted: true,
      concurrencyKey: null,
      concurrencyLimit: 1,
      ...flow,
    },
    phases: [],
    queuePauses: [],
    workers: { live: 2, holding: 2, versions: [2] },
    limit: null,
    rate: null,
    children: null,
    ahead: null,
    delayReason: null,
    isRedisReady: true,
    ...changes,
  };
}

const pause = { by: 'key-1', reason: 'a look', at: now.toISOString(), until: later(60).toISOString() };
const queuePause = { everybody: false, by: 'key-2', reason: null, at: now, until: later(30) };
const running = phase('running', { worker: 'w1', startedAt: now, dueAt: later(9) });
const lost = phase('running', { worker: 'w2', startedAt: now, dueAt: later(2) });
const limited = { flow: { admitted: false, concurrencyKey: 'account' }, limit: { holders: ['f1', 'f2'], before: 3 } };
const rated = { phases: [phase('held-rate')], rate: { key: 'mail', windows: [{ max: 5, perMs: 60_000 }], nextAt: later(7), before: 0 } };

type Case = [cause: ExplainCause, changes: Changes, blockers: string[], clearsAt: Date | null, detail: string];

const CASES: Case[] = [
  ['finished', { flow: { status: 'failed', finishedAt: now } }, [], null, 'The flow is failed since 2027-01-01T12:00:00.000Z.'],
  ['paused', { flow: { status: 'paused', pause } }, ['key key-1'], later(60), 'paused by key-1'],
  [
    'queue-paused',
    { phases: [phase('backlog')], queuePauses: [queuePause] },
    ['queue flow-phase', 'key key-2'],
    later(30),
    'for this workspace by key-2',
  ],
  ['scheduled', { flow: { runAt: later(100) }, phases: [phase('scheduled')] }, [], later(100), '2027-01-01T12:01:40.000Z'],
  [
    'limit-full',
    { ...limited, phases: [phase('held-limit')] },
    ['concurrency-key account', 'flow f1', 'flow f2'],
    null,
    'held by f1, f2. It is number 4 in line',
  ],
  ['rate-limited', rated, ['rate-limit mail', `phase ${phase('backlog').id}`], later(7), '(5 per 60 s); 0 phases before it'],
  [
    'waiting-for-signal',
    { phases: [phase('signal', { signals: ['go'], dueAt: later(5) })] },
    ['signal go', `phase ${phase('signal').id}`],
    later(5),
    'signal go until',
  ],
  ['sleeping', { phases: [phase('time', { dueAt: later(50) })] }, [`phase ${phase('time').id}`], later(50), 'sleeps until'],
  [
    'waiting-for-children',
    { phases: [phase('children')], children: { phase: 'load', ids: ['c1'], count: 1 } },
    ['flow c1', `phase ${phase('time').id}`],
    null,
    '1 child flow.',
  ],
  [
    'waiting-for-callback',
    { phases: [phase('callback', { dueAt: later(8) })] },
    [`phase ${phase('time').id}`],
    later(8),
    'call back until',
  ],
  [
    'retrying',
    { phases: [phase('retrying', { attempts: 2, error: { code: 'E', message: 'no' }, dueAt: later(3) })] },
    [`phase ${phase('time').id}`],
    later(3),
    'failed in attempt 2 of 4 with E: no.',
  ],
  [
    'no-worker',
    { phases: [phase('held-worker')], workers: { live: 2, holding: 0, versions: [1, 3] } },
    ['definition discovery@2'],
    null,
    'hold version 1, 3 of it',
  ],
  ['redis-away', { phases: [phase('backlog')], isRedisReady: false }, ['redis queue'], null, 'Redis is away'],
  [
    'waiting-for-time',
    { phases: [phase('delayed', { dueAt: later(6) })], delayReason: 'lock-held' },
    [`phase ${phase('time').id}`],
    later(6),
    'It was interrupted: lock-held.',
  ],
  [
    'in-queue',
    { phases: [phase('backlog')], ahead: { phase: 'load', count: 10_000 } },
    ['queue flow-phase'],
    null,
    '10,000 or more phases of this workspace before it, 2 workers alive',
  ],
  ['lost-lease', { phases: [running, lost] }, [`phase ${lost.id}`, 'worker w2'], later(2), 'taken over at'],
  ['running', { phases: [running] }, [`phase ${running.id}`, 'worker w1'], null, 'runs on w1 since'],
];

describe('explainFlow', () => {
  it.each(CASES)('names %s with what blocks and when it clears', (cause, changes, blockers, clearsAt, detail) => {
    const answer = explainFlow(facts(changes));
    expect(explainSchema.parse(answer)).toEqual(answer);
    expect({ ...answer, detail: '', blockedBy: answer.blockedBy.map(({ kind, id }) => `${kind} ${id}`) }).toEqual({
      cause,
      detail: '',
      blockedBy: blockers,
      clearsAt: clearsAt?.toISOString() ?? null,
    });
    expect(answer.detail).toContain(detail);
  });

  it('has a case for every cause', () => {
    expect(CASES.map(([cause]) => cause)).toEqual([...EXPLAIN_CAUSES]);
  });

  it.each<[string, ExplainCause, Changes]>([
    [
      'a pause before everything that waits',
      'paused',
      { flow: { status: 'paused', pause }, queuePauses: [queuePause], phases: [phase('signal')] },
    ],
    ['a signal before a phase that runs beside it', 'waiting-for-signal', { phases: [running, phase('signal', { signals: ['go'] })] }],
    [
      'a start time before a full limit',
      'scheduled',
      { ...limited, flow: { ...limited.flow, runAt: later(9) }, phases: [phase('held-limit')] },
    ],
    [
      'absent code before absent Redis',
      'no-worker',
      { phases: [phase('backlog')], workers: { live: 0, holding: 0, versions: [] }, isRedisReady: false },
    ],
    [
      'absent code before the delay of an interruption',
      'no-worker',
      { phases: [phase('delayed')], workers: { live: 1, holding: 0, versions: [] } },
    ],
    ['what runs before what was put off beside it', 'running', { phases: [running, phase('delayed', { dueAt: later(9) })] }],
    [
      'the signal and not the paused queue, which it does not need',
      'waiting-for-signal',
      { phases: [phase('signal')], queuePauses: [queuePause] },
    ],
    ['what runs in a paused queue as running', 'running', { phases: [running], queuePauses: [queuePause] }],
    [
      'what runs as running although its version has no other worker',
      'running',
      { phases: [running], workers: { live: 0, holding: 0, versions: [] } },
    ],
    ['phases that are not made yet as on their way', 'in-queue', { flow: { status: 'queued', planned: false } }],
    [
      'phases that nobody could make',
      'no-worker',
      { flow: { status: 'queued', planned: false }, workers: { live: 1, holding: 0, versions: [] } },
    ],
    ['what is held although its code is there again as on its way', 'in-queue', { phases: [phase('held-worker')] }],
    ['a flow without anything ready', 'in-queue', {}],
    ['a start time that has come as past', 'in-queue', { flow: { runAt: later(-1) }, phases: [phase('backlog')] }],
  ])('names %s', (_, cause, changes) => {
    expect(explainFlow(facts(changes)).cause).toBe(cause);
  });

  it('takes the pause that lasts longer', () => {
    const forEver = { ...queuePause, everybody: true, by: 'key-3', until: null };
    const answer = explainFlow(facts({ phases: [phase('backlog')], queuePauses: [queuePause, forEver] }));
    expect(answer).toMatchObject({ clearsAt: null, detail: expect.stringContaining('for everybody by key-3') });
  });

  it('does not promise when a rate limit lets it through while others go before it', () => {
    expect(explainFlow(facts({ ...rated, rate: { ...rated.rate, before: 2 } })).clearsAt).toBeNull();
  });
});
