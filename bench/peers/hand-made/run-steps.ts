// What the two programs of the hand-made flow share: its three steps, its table and its queue.
import type { JobsOptions } from 'bullmq';

export const STEPS = ['fetch', 'transform', 'store'] as const;

export type StepJob = { runId: string; step: number };

/** A fill factor leaves room on each page, so that the three updates of a row touch no index. */
export const CREATE_TABLE = `
CREATE TABLE IF NOT EXISTS runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  input jsonb NOT NULL,
  status text NOT NULL DEFAULT 'queued',
  step text,
  output jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 40)`;

export const JOB_OPTIONS: JobsOptions = { attempts: 4, backoff: { type: 'exponential', delay: 60_000 }, removeOnComplete: true };

export const QUEUE_PREFIX = '{hand-made}';
