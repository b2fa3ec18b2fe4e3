-- What decides when a flow's work may start: order, limits, pauses and times; what a suspended phase waits for; who is a child of whom.
ALTER TABLE millrace.flows
  ADD COLUMN concurrency_key text,
  ADD COLUMN concurrency_limit int NOT NULL DEFAULT 1 CHECK (concurrency_limit > 0),
  -- False while others of its concurrency key are ahead; its phases are held until then.
  ADD COLUMN admitted boolean NOT NULL DEFAULT true,
  -- { "by", "reason", "at", "until" } while somebody has paused it.
  ADD COLUMN pause jsonb,
  -- A flow that has not started by then fails as expired.
  ADD COLUMN expires_at timestamptz,
  -- The longest time from its start to its end.
  ADD COLUMN timeout_ms int,
  -- When the reconciler has to look at this row: its expiry before it has started, the end of its time after, the end of a pause. Null: never.
  ADD COLUMN due_at timestamptz,
  -- The phase that started it with ctx.start, under which name, and what its failure means there.
  ADD COLUMN parent_phase_id uuid,
  ADD COLUMN parent_run int,
  ADD COLUMN child_key text,
  ADD COLUMN child_policy text CHECK (child_policy IN ('fail', 'continue', 'ignore')),
  ADD COLUMN child_awaited boolean NOT NULL DEFAULT false,
  -- Whether the parent was told of its end.
  ADD COLUMN child_settled boolean NOT NULL DEFAULT false,
  -- 0 for a flow without parent.
  ADD COLUMN depth smallint NOT NULL DEFAULT 0,
  ADD COLUMN schedule_id uuid,
  -- False between a start in SQL and the moment a process that knows the definition has made its phases.
  ADD COLUMN planned boolean NOT NULL DEFAULT true;
CREATE INDEX flows_due ON millrace.flows (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX flows_by_key ON millrace.flows (workspace, concurrency_key, id)
  WHERE concurrency_key IS NOT NULL AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE UNIQUE INDEX flows_children ON millrace.flows (parent_phase_id, parent_run, child_key) WHERE parent_phase_id IS NOT NULL;
CREATE INDEX flows_children_open ON millrace.flows (parent_phase_id)
  WHERE parent_phase_id IS NOT NULL AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX flows_children_ended ON millrace.flows (parent_phase_id)
  WHERE parent_phase_id IS NOT NULL AND NOT child_settled AND status IN ('completed', 'failed', 'cancelled');
CREATE INDEX flows_of_schedule ON millrace.flows (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX flows_unplanned ON millrace.flows (id) WHERE NOT planned AND status = 'queued';

ALTER TABLE millrace.phases
  -- The order of the backlog: when its flow was accepted, in milliseconds, plus a fixed time for each step of priority. Lower runs first; what
  -- waits is overtaken by new work of higher priority for that long and no longer.
  ADD COLUMN rank bigint NOT NULL DEFAULT 0,
  -- Why a queued phase may not be dispatched: its flow is paused, its concurrency key is full, or its rate is used up.
  ADD COLUMN held text CHECK (held IN ('pause', 'limit', 'rate')),
  -- The rate limit that decides about its dispatch.
  ADD COLUMN rate_key text,
  -- What a suspended phase waits for: { "kind": "time" | "signal" | "children" | "callback", ... }. Null: nothing, or it waits for `signal`.
  ADD COLUMN awaits jsonb,
  -- Interruptions since the last attempt that ended by itself, and when the first was.
  ADD COLUMN interruptions int NOT NULL DEFAULT 0,
  ADD COLUMN interrupted_at timestamptz,
  -- Groups failures of one kind: of a failed or quarantined phase, see dead letters.
  ADD COLUMN cause text;
UPDATE millrace.phases
SET rank = ('x' || substr(id::text, 1, 8) || substr(id::text, 10, 4))::bit(48)::bigint + priority * 60000
WHERE status NOT IN ('completed', 'failed', 'skipped', 'cancelled', 'quarantined');
DROP INDEX millrace.phases_backlog;
CREATE INDEX phases_backlog ON millrace.phases (workspace, rank, id) WHERE status = 'queued' AND NOT dispatched AND due_at IS NULL AND held IS NULL;
CREATE INDEX phases_rated ON millrace.phases (workspace, rate_key, rank, id) WHERE status = 'queued' AND held = 'rate';
CREATE INDEX phases_dead ON millrace.phases (workspace, cause, id) WHERE status IN ('failed', 'quarantined');

-- Keys of which something may have to be let in: a place under a concurrency key, or tokens of a rate limit. Whoever frees or takes a place
-- writes the key here in the same transaction, so that no process ever has to look through all keys.
CREATE TABLE millrace.admissions (
  workspace text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('limit', 'rate')),
  key text NOT NULL,
  next_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace, kind, key)
);
CREATE INDEX admissions_next ON millrace.admissions (next_at);

-- What is used of rate limits, by the dispatch of phases and by handlers alike, and who comes back for more; see sliding-windows.ts. A row
-- of which nothing is counted any more is deleted.
CREATE TABLE millrace.rate_limits (
  workspace text NOT NULL,
  key text NOT NULL,
  -- [{ "max", "perMs" }] as they were when something was taken last: for those who explain, not for those who decide.
  windows jsonb NOT NULL,
  -- [{ "perMs", "taken": [[milliseconds since 1970, units], ...] }], one for each length of window.
  used jsonb NOT NULL DEFAULT '[]',
  -- The same as it will be when the last of the handlers that were sent away has come back and taken its units.
  line jsonb NOT NULL DEFAULT '[]',
  PRIMARY KEY (workspace, key)
);

-- Queues that are paused, for one workspace or, with an empty name, for everybody.
CREATE TABLE millrace.queue_pauses (
  queue text NOT NULL CHECK (queue IN ('flow-phase', 'data-import')),
  workspace text NOT NULL,
  paused_by text NOT NULL,
  reason text,
  paused_at timestamptz NOT NULL DEFAULT now(),
  until timestamptz,
  PRIMARY KEY (queue, workspace)
);

-- What became of each phase that ran when its flow was cancelled.
CREATE TABLE millrace.cancellations (
  flow_id uuid NOT NULL,
  run int NOT NULL,
  phase_id uuid NOT NULL,
  workspace text NOT NULL,
  phase text NOT NULL,
  fence bigint NOT NULL,
  worker text NOT NULL,
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz,
  ended_at timestamptz,
  -- stopped: its handler ended. killed: its process was. fenced: it was left behind and can commit nothing.
  how text CHECK (how IN ('stopped', 'killed', 'fenced')),
  PRIMARY KEY (flow_id, run, phase_id)
);
CREATE INDEX cancellations_open ON millrace.cancellations (requested_at) WHERE ended_at IS NULL;

-- The share of a workspace in what the workers do, beside the others.
ALTER TABLE millrace.workspaces ADD COLUMN weight int NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 100);
