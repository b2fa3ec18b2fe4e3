// Every change of a phase's status that any statement can make. Tests hold the database to it, and docs/flow-lifecycle.md is made from it.
import type { PhaseStatus } from '../statuses.ts';
import type { Transition } from './transition.ts';

const FLOW_ENDED = 'Its flow was cancelled or its time was over; the event of the flow tells it.';
const NEEDS_AGAIN = 'Its flow was retried, or another phase of it run again, and something that it needs has to run first.';
const RUNS_AGAIN = 'Its flow was retried, or another phase of it run again, and nothing that it needs is open.';
const WAITS_AGAIN = 'Its flow was retried, or another phase of it run again, and it waits for its signal again.';

/** Complete: what is not listed here never happens. */
export const PHASE_TRANSITIONS: readonly Transition<PhaseStatus>[] = [
  { from: null, to: 'pending', event: null, because: 'Its flow was accepted, and it needs other phases first.' },
  { from: null, to: 'queued', event: 'phase.queued', because: 'Its flow was accepted, and it needs nothing.' },
  { from: null, to: 'waiting', event: 'phase.waiting', because: 'Its flow was accepted, it needs nothing, and it waits for a signal.' },
  { from: 'pending', to: 'queued', event: 'phase.queued', because: 'The last phase that it needs is done.' },
  {
    from: 'pending',
    to: 'running',
    event: 'phase.started',
    because: 'The last phase that it needs is done, and the same worker went on with it.',
  },
  { from: 'pending', to: 'waiting', event: 'phase.waiting', because: 'The last phase that it needs is done, and it waits for a signal.' },
  { from: 'pending', to: 'skipped', event: 'phase.skipped', because: 'A phase that it needs, directly or not, has failed.' },
  { from: 'pending', to: 'cancelled', event: null, because: FLOW_ENDED },
  {
    from: 'queued',
    to: 'running',
    event: 'phase.started',
    because:
      'A worker claimed it; or its service called back after its worker was lost, and then only the end that follows at once is told.',
  },
  { from: 'queued', to: 'cancelled', event: null, because: FLOW_ENDED },
  {
    from: 'running',
    to: 'completed',
    event: 'phase.completed',
    because: 'Its handler returned, its signal came, or its service called back.',
  },
  {
    from: 'running',
    to: 'skipped',
    event: 'phase.skipped',
    because: 'Its own condition said that it need not run; what needs it goes on.',
  },
  { from: 'running', to: 'retrying', event: 'phase.retrying', because: 'The attempt failed, and there are more.' },
  { from: 'running', to: 'failed', event: 'phase.failed', because: 'The attempt failed, and it was the last or not worth another.' },
  {
    from: 'running',
    to: 'queued',
    event: 'phase.queued',
    because:
      'Its worker gave it back or was lost, which costs no attempt; or what its handler began to wait for had come already; or no live worker has its code.',
  },
  {
    from: 'running',
    to: 'waiting',
    event: 'phase.waiting',
    because: 'Its handler waits for a time, a signal, child flows or a callback, and holds no worker meanwhile.',
  },
  {
    from: 'running',
    to: 'quarantined',
    event: 'phase.quarantined',
    because: 'Its process died under it three times, the last time with nothing beside it.',
  },
  { from: 'running', to: 'cancelled', event: null, because: FLOW_ENDED },
  { from: 'retrying', to: 'running', event: 'phase.started', because: 'The time of the next attempt came, and a worker claimed it.' },
  {
    from: 'retrying',
    to: 'queued',
    event: null,
    because:
      'The time of the next attempt came and no worker was free, its job was lost and is dispatched again, or it is held by a pause.',
  },
  { from: 'retrying', to: 'cancelled', event: null, because: FLOW_ENDED },
  {
    from: 'waiting',
    to: 'queued',
    event: 'phase.queued',
    because: 'What its handler waited for has come: it runs again and finds the results of its steps.',
  },
  {
    from: 'waiting',
    to: 'running',
    event: null,
    because: 'Its signal or callback came or its callback did not: it is claimed for the one transaction that ends the attempt.',
  },
  { from: 'waiting', to: 'failed', event: 'phase.failed', because: 'Its signal did not come in time.' },
  { from: 'waiting', to: 'cancelled', event: null, because: FLOW_ENDED },
  { from: 'completed', to: 'pending', event: null, because: 'A phase that it needs, directly or not, was run again.' },
  { from: 'completed', to: 'queued', event: 'phase.queued', because: 'Somebody ran it again: a new run of its flow begins with it.' },
  { from: 'completed', to: 'waiting', event: 'phase.waiting', because: 'Somebody ran it again, and it waits for its signal again.' },
  { from: 'failed', to: 'pending', event: null, because: NEEDS_AGAIN },
  { from: 'failed', to: 'queued', event: 'phase.queued', because: RUNS_AGAIN },
  { from: 'failed', to: 'waiting', event: 'phase.waiting', because: WAITS_AGAIN },
  { from: 'skipped', to: 'pending', event: null, because: NEEDS_AGAIN },
  { from: 'skipped', to: 'queued', event: 'phase.queued', because: RUNS_AGAIN },
  { from: 'skipped', to: 'waiting', event: 'phase.waiting', because: WAITS_AGAIN },
  { from: 'cancelled', to: 'pending', event: null, because: NEEDS_AGAIN },
  { from: 'cancelled', to: 'queued', event: 'phase.queued', because: RUNS_AGAIN },
  { from: 'cancelled', to: 'waiting', event: 'phase.waiting', because: WAITS_AGAIN },
  { from: 'quarantined', to: 'pending', event: null, because: NEEDS_AGAIN },
  { from: 'quarantined', to: 'queued', event: 'phase.queued', because: RUNS_AGAIN },
];
