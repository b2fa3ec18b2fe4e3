// What is known of a flow that does not go on: the facts that explaining it rests on.
import type { FlowStatus } from '@millrace/shared';
import type { FlowPause } from '../flows/pause-flow.ts';

/** Counts of what goes before a flow or phase stop here. */
export const AHEAD_MAX = 10_000;

/**
 * Where an open phase stands. held-*: why it may not be dispatched. scheduled: not before its time. backlog: it waits in PostgreSQL for a place in
 * the queue. delayed: interrupted, its job comes later. dispatched: its job waits for a worker. The last four: what a suspended phase waits for.
 */
export type PhaseStand =
  | 'running'
  | 'retrying'
  | 'held-pause'
  | 'held-limit'
  | 'held-rate'
  | 'held-worker'
  | 'scheduled'
  | 'backlog'
  | 'delayed'
  | 'dispatched'
  | 'signal'
  | 'time'
  | 'children'
  | 'callback';

export type PhaseFact = {
  id: string;
  name: string;
  stand: PhaseStand;
  /** Open phases of this flow that stand the same. */
  standCount: number;
  rank: string;
  attempts: number;
  attemptMax: number;
  error: { code: string; message: string } | null;
  rateKey: string | null;
  /** The signals of which one lets it go on. */
  signals: string[];
  worker: string | null;
  startedAt: Date | null;
  /** End of the lease, of the delay, or of the wait. Null: none. */
  dueAt: Date | null;
};

export type ExplainFacts = {
  now: Date;
  flow: {
    id: string;
    workspace: string;
    name: string;
    version: number;
    status: FlowStatus;
    planned: boolean;
    runAt: Date | null;
    finishedAt: Date | null;
    pause: FlowPause | null;
    admitted: boolean;
    concurrencyKey: string | null;
    concurrencyLimit: number;
  };
  /** Up to ten that stand the same, the soonest first. */
  phases: PhaseFact[];
  queuePauses: { everybody: boolean; by: string; reason: string | null; at: Date; until: Date | null }[];
  /** Workers that take work; how many of them hold the flow's version, and which versions of it they hold at all. */
  workers: { live: number; holding: number; versions: number[] };
} & Blocks;

export type RateWindowFact = { max: number; perMs: number };

export type Blocks = {
  /** `before`: flows that are let in before this one; counted up to `AHEAD_MAX`. */
  limit: { holders: string[]; before: number } | null;
  /** `before`: phases that get their token before this one. `nextAt`: when the limit is looked at next, if that is known. */
  rate: { key: string; windows: RateWindowFact[]; nextAt: Date | null; before: number } | null;
  /** `phase`: the one that waits for them. */
  children: { phase: string; ids: string[]; count: number } | null;
  /** Ready phases of the workspace that go before `phase`; counted up to `AHEAD_MAX`. */
  ahead: { phase: string; count: number } | null;
  /** Why the phase that comes later was put off. */
  delayReason: string | null;
};
