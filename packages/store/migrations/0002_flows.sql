-- Flows, their phases, attempts and kept steps, and the event log.
CREATE TABLE millrace.flows (
  id uuid PRIMARY KEY,
  workspace text NOT NULL,
  name text NOT NULL,
  version int NOT NULL,
  status text NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled')),
  run int NOT NULL DEFAULT 1,
  input jsonb NOT NULL,
  tags jsonb NOT NULL,
  priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 100),
  run_at timestamptz,
  error jsonb,
  -- The number of the last event. Whoever writes an event holds this row's lock until it commits, so seq has no gap and no second order.
  seq_last int NOT NULL,
  phases_total int NOT NULL,
  -- Phases of this run that have not reached an end; the flow ends when it reaches 0.
  phases_open int NOT NULL CHECK (phases_open >= 0),
  -- Of these, the ones that are queued, running or retrying. With none of them left the flow waits for what others do.
  phases_active int NOT NULL CHECK (phases_active >= 0),
  phases_failed int NOT NULL DEFAULT 0,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX flows_by_workspace ON millrace.flows (workspace, id DESC);
CREATE INDEX flows_by_name ON millrace.flows (workspace, name, id DESC);
CREATE INDEX flows_by_status ON millrace.flows (workspace, status, id DESC) WHERE status NOT IN ('completed');
CREATE INDEX flows_by_tags ON millrace.flows USING gin (tags jsonb_path_ops) WHERE tags <> '{}';

CREATE TABLE millrace.phases (
  -- The flow's id plus the phase's number (1..65535) in the last 16 bits.
  id uuid PRIMARY KEY,
  flow_id uuid NOT NULL,
  workspace text NOT NULL,
  name text NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'queued', 'running', 'retrying', 'waiting', 'completed', 'failed', 'skipped', 'cancelled', 'quarantined')),
  priority smallint NOT NULL,
  needs uuid[] NOT NULL,
  dependants uuid[] NOT NULL,
  needs_open int NOT NULL CHECK (needs_open >= 0),
  attempt_max smallint NOT NULL,
  -- The signal that this phase waits for instead of running a handler, and how long.
  signal text,
  wait_timeout_ms int,
  -- Attempts used up. An interrupted or lost one is not.
  attempts smallint NOT NULL DEFAULT 0,
  -- How often a process died under this phase.
  crashes smallint NOT NULL DEFAULT 0,
  -- Whether it was the only work of its process when it last began. Only then is a crash surely its own doing.
  alone boolean NOT NULL DEFAULT false,
  -- Rises with every dispatch; a delivery of an older one is stale.
  generation int NOT NULL DEFAULT 0,
  -- Rises with every claim; every commit of a worker checks it.
  fence bigint NOT NULL DEFAULT 0,
  -- The worker that has the lease; of a completed phase the one that completed it.
  lease_owner text,
  -- When the reconciler has to look at this row: the end of the lease while running, the time by which a dispatched
  -- one should have been claimed, the time a held one may start. Null: nothing to look at, or waiting in the backlog.
  due_at timestamptz,
  dispatched boolean NOT NULL DEFAULT false,
  output jsonb,
  error jsonb,
  started_at timestamptz,
  finished_at timestamptz
) WITH (fillfactor = 60);
CREATE INDEX phases_due ON millrace.phases (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX phases_backlog ON millrace.phases (priority, id) WHERE status = 'queued' AND NOT dispatched AND due_at IS NULL;

-- Attempts that did not complete their phase. The one that did is the phase's own row: attempts, fence, lease_owner, started_at, finished_at.
CREATE TABLE millrace.attempts (
  phase_id uuid NOT NULL,
  fence bigint NOT NULL,
  workspace text NOT NULL,
  attempt smallint NOT NULL,
  run int NOT NULL,
  worker text NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('failed', 'interrupted', 'lost', 'cancelled')),
  error jsonb,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (phase_id, fence)
);

-- Signals as they were sent. One that comes before its phase waits is kept.
CREATE TABLE millrace.signals (
  flow_id uuid NOT NULL,
  run int NOT NULL,
  name text NOT NULL,
  workspace text NOT NULL,
  body jsonb NOT NULL,
  delivered boolean NOT NULL DEFAULT false,
  sent_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (flow_id, run, name)
);
CREATE INDEX signals_undelivered ON millrace.signals (created_at) WHERE NOT delivered;

-- Results of ctx.step, kept so that a later attempt goes on after them.
CREATE TABLE millrace.steps (
  phase_id uuid NOT NULL,
  run int NOT NULL,
  name text NOT NULL,
  workspace text NOT NULL,
  result jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (phase_id, run, name)
);

-- The log of everything that happened. A subject is a flow or an import.
CREATE TABLE millrace.events (
  subject_id uuid NOT NULL,
  seq int NOT NULL,
  workspace text NOT NULL,
  type text NOT NULL,
  phase text,
  at timestamptz NOT NULL,
  data jsonb NOT NULL,
  PRIMARY KEY (subject_id, seq)
);

-- Fences of named locks: they must rise for ever, also when Redis has lost everything it knew.
CREATE SEQUENCE millrace.lock_fences;
