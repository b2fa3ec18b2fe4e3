-- Which workers are alive and which code they hold, phases that wait for a worker with their code, and what the queue and explain pages count.
CREATE TABLE millrace.workers (
  -- As in leases, locks and events.
  id text PRIMARY KEY,
  host text NOT NULL,
  pid int NOT NULL,
  started_at timestamptz NOT NULL,
  -- Renewed every few seconds; a worker that was not seen for 15 s counts as dead.
  seen_at timestamptz NOT NULL DEFAULT now(),
  concurrency int NOT NULL,
  running int NOT NULL,
  -- It ends what it has and takes nothing new.
  stopping boolean NOT NULL DEFAULT false,
  queues text[] NOT NULL,
  -- [{ "name", "version" }]
  definitions jsonb NOT NULL
);
CREATE INDEX workers_seen ON millrace.workers (seen_at);

-- A queued phase may also be held because no live worker knows its flow in its version.
ALTER TABLE millrace.phases DROP CONSTRAINT phases_held_check,
  ADD CONSTRAINT phases_held_check CHECK (held IN ('pause', 'limit', 'rate', 'worker')) NOT VALID;
CREATE INDEX phases_without_worker ON millrace.phases (id) WHERE status = 'queued' AND held = 'worker';

-- Definitions that such phases wait for, so that a worker finds out with one look whether any of its own are among them.
CREATE TABLE millrace.absent_definitions (
  name text NOT NULL,
  version int NOT NULL,
  -- When the last phase was held for it.
  held_at timestamptz NOT NULL,
  PRIMARY KEY (name, version)
);

-- Everything that is neither on its way through the queue nor at an end, for counts; phases that go straight through never enter it. The
-- condition is a CASE so that only a query that repeats it can use this index: it must not tempt the planner away from the hot paths' own.
CREATE INDEX phases_parked ON millrace.phases (workspace, status, held)
  WHERE CASE WHEN status IN ('retrying', 'waiting') THEN true WHEN status = 'queued' AND NOT dispatched THEN held IS NOT NULL OR due_at IS NOT NULL ELSE false END;

-- How many attempts at phases ended in each minute, as the workers report them every few seconds. For rates that people look at; kept for an hour.
CREATE TABLE millrace.queue_minutes (
  queue text NOT NULL,
  workspace text NOT NULL,
  minute timestamptz NOT NULL,
  completed int NOT NULL,
  failed int NOT NULL,
  PRIMARY KEY (queue, workspace, minute)
);
CREATE INDEX queue_minutes_old ON millrace.queue_minutes (minute);
