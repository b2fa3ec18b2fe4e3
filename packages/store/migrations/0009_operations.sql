-- Dead letters as incidents, operations on many flows at once, and what searches need.

ALTER TABLE millrace.phases
  -- Of a dead phase: when and by whom it was taken off the list of the dead. Its flow stays as it is.
  ADD COLUMN purged_at timestamptz,
  ADD COLUMN purged_by text;

-- An incident is one range of this index: its count, first, last and next phases cost what they return. `cause` is the incident's id; it is
-- null between the failure and the moment it is grouped.
DROP INDEX millrace.phases_dead;
CREATE INDEX phases_dead ON millrace.phases (workspace, cause, finished_at, id)
  WHERE status IN ('failed', 'quarantined') AND purged_at IS NULL;

-- Flows that have met an error are few and looked for often.
CREATE INDEX flows_with_error ON millrace.flows (workspace, id DESC) WHERE error IS NOT NULL;

-- Work on many flows or dead phases, carried out in small steps by one worker at a time.
CREATE TABLE millrace.operations (
  id uuid PRIMARY KEY,
  workspace text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('replay', 'purge', 'cancel', 'retry')),
  status text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'stopped', 'failed')),
  -- What was asked for, as it was asked: { "ids" } or { "filter" }.
  selection jsonb NOT NULL,
  -- Of a replay or purge: the incidents it came to when it was asked for, in the order they are worked off.
  incidents text[],
  rate_per_second double precision NOT NULL CHECK (rate_per_second > 0),
  total int,
  total_capped boolean NOT NULL DEFAULT false,
  done int NOT NULL DEFAULT 0,
  succeeded int NOT NULL DEFAULT 0,
  skipped int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0,
  -- Where the next step begins; written in the transaction that did everything before it.
  cursor jsonb,
  -- { "sample": [flow ids], "step", "stepLeft", "released", "recovered", "returned", "otherwise" } of a replay that watches its runs.
  canary jsonb,
  message text,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  -- Up to when the rate has been used.
  paced_at timestamptz NOT NULL DEFAULT now(),
  -- Takings in a row that came to nothing.
  failures smallint NOT NULL DEFAULT 0,
  -- Rises whenever a worker takes it; every step checks it.
  fence bigint NOT NULL DEFAULT 0,
  lease_owner text,
  -- When a worker may take it: the end of the lease while one has it, else the time of its next step. Null: it has ended.
  due_at timestamptz DEFAULT now()
);
CREATE INDEX operations_by_workspace ON millrace.operations (workspace, id DESC);
CREATE INDEX operations_due ON millrace.operations (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX operations_ended ON millrace.operations (finished_at) WHERE finished_at IS NOT NULL;

-- Runs that a replay has opened and still watches.
CREATE TABLE millrace.operation_runs (
  operation_id uuid NOT NULL REFERENCES millrace.operations (id) ON DELETE CASCADE,
  flow_id uuid NOT NULL,
  run int NOT NULL,
  -- The phases that were dead, and the incidents they belonged to.
  phase_ids uuid[] NOT NULL,
  causes text[] NOT NULL,
  PRIMARY KEY (operation_id, flow_id)
);

-- What the inputs of a run of flows contain, as one Bloom filter: a search looks only at the runs whose filter does not rule it out. Made in
-- the background, so that accepting a flow costs nothing. The rows of a workspace follow on each other without a gap.
CREATE TABLE millrace.input_blocks (
  workspace text NOT NULL,
  -- Flows with after_id < id <= last_id.
  after_id uuid NOT NULL,
  last_id uuid NOT NULL,
  -- A power of two of bits. Null: anything may be in there.
  bits bytea,
  PRIMARY KEY (workspace, last_id)
);
-- Bloom filters do not compress.
ALTER TABLE millrace.input_blocks ALTER COLUMN bits SET STORAGE EXTERNAL;
