// Every change of a flow's status that any statement can make. Tests hold the database to it, and docs/flow-lifecycle.md is made from it.
import type { FlowStatus } from '../statuses.ts';
import type { Transition } from './transition.ts';

/** Complete: what is not listed here never happens. */
export const FLOW_TRANSITIONS: readonly Transition<FlowStatus>[] = [
  { from: null, to: 'queued', event: 'flow.queued', because: 'It was accepted, and something of it can run.' },
  { from: null, to: 'waiting', event: 'flow.queued', because: 'It was accepted, and all its first phases wait for a signal.' },
  { from: 'queued', to: 'running', event: 'flow.started', because: 'A worker claimed the first of its phases, or a signal completed one.' },
  {
    from: 'queued',
    to: 'waiting',
    event: null,
    because: 'It was started in SQL, its phases were made now, and all the first ones wait for a signal.',
  },
  { from: 'queued', to: 'paused', event: 'flow.paused', because: 'Somebody paused it before it started.' },
  {
    from: 'queued',
    to: 'failed',
    event: 'flow.failed',
    because: 'It had not started when it expired, or no phases could be made of what was started in SQL.',
  },
  {
    from: 'queued',
    to: 'cancelled',
    event: 'flow.cancelled',
    because: 'Somebody cancelled it, or another start with its dedupe key took its place.',
  },
  { from: 'running', to: 'waiting', event: null, because: 'Nothing of it runs or may run: every open phase waits for a signal or a time.' },
  { from: 'running', to: 'paused', event: 'flow.paused', because: 'Somebody paused it; what runs finishes.' },
  { from: 'running', to: 'completed', event: 'flow.completed', because: 'Its last open phase ended, and none has failed.' },
  {
    from: 'running',
    to: 'failed',
    event: 'flow.failed',
    because: 'Its last open phase ended and at least one has failed, or it took longer than its time limit.',
  },
  {
    from: 'running',
    to: 'cancelled',
    event: 'flow.cancelled',
    because: 'Somebody cancelled it, or the phase that started it ended without it.',
  },
  { from: 'waiting', to: 'running', event: null, because: 'What a phase waited for has come, and something of it can run again.' },
  { from: 'waiting', to: 'paused', event: 'flow.paused', because: 'Somebody paused it; signals are kept until it is resumed.' },
  { from: 'waiting', to: 'completed', event: 'flow.completed', because: 'A signal completed its last open phase, and none has failed.' },
  {
    from: 'waiting',
    to: 'failed',
    event: 'flow.failed',
    because: 'Its last open phase ended and at least one has failed, or its own time was over before anything it waited for came.',
  },
  {
    from: 'waiting',
    to: 'cancelled',
    event: 'flow.cancelled',
    because: 'Somebody cancelled it, or the phase that started it ended without it.',
  },
  {
    from: 'paused',
    to: 'queued',
    event: 'flow.resumed',
    because: 'It was resumed, by hand or at the end of the pause, and has not started.',
  },
  { from: 'paused', to: 'running', event: 'flow.resumed', because: 'It was resumed, and something of it runs or may run.' },
  { from: 'paused', to: 'waiting', event: 'flow.resumed', because: 'It was resumed, and every open phase waits for a signal or a time.' },
  {
    from: 'paused',
    to: 'completed',
    event: 'flow.completed',
    because: 'What ran when it was paused was the last of it, and none has failed.',
  },
  {
    from: 'paused',
    to: 'failed',
    event: 'flow.failed',
    because: 'What ran when it was paused was the last of it and at least one phase has failed, or its own time was over.',
  },
  { from: 'paused', to: 'cancelled', event: 'flow.cancelled', because: 'Somebody cancelled it, or another start took its place.' },
  {
    from: 'failed',
    to: 'queued',
    event: 'flow.queued',
    because: 'Somebody retried it: a new run begins, and completed phases keep their output.',
  },
  { from: 'failed', to: 'waiting', event: 'flow.queued', because: 'Somebody retried it, and all that begins anew waits for a signal.' },
  {
    from: 'completed',
    to: 'queued',
    event: 'flow.queued',
    because: 'Somebody ran one of its phases again: a new run begins with that phase and what depends on it.',
  },
  {
    from: 'completed',
    to: 'waiting',
    event: 'flow.queued',
    because: 'Somebody ran one of its phases again, and that phase waits for a signal.',
  },
];
