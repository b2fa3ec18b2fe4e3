-- Flows that start by the clock, and what became of each time that came.
CREATE TABLE millrace.schedules (
  id uuid PRIMARY KEY,
  workspace text NOT NULL,
  name text NOT NULL,
  flow text NOT NULL,
  input jsonb NOT NULL,
  tags jsonb NOT NULL,
  cron text NOT NULL,
  timezone text NOT NULL,
  overlap text NOT NULL CHECK (overlap IN ('skip', 'queue', 'cancel-previous', 'allow')),
  catch_up text NOT NULL CHECK (catch_up IN ('none', 'last', 'all')),
  -- The earliest time that nobody has dealt with. Null: none will come, for it is paused without an end.
  next_at timestamptz,
  -- { "by", "reason", "at", "until" } of the last pause, until somebody resumes it. One whose end has come is none any more.
  pause jsonb,
  missed_count int NOT NULL DEFAULT 0,
  -- The last flow it started.
  last_flow_id uuid,
  last_due_at timestamptz,
  last_fired_at timestamptz,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  UNIQUE (workspace, name)
);
CREATE INDEX schedules_by_workspace ON millrace.schedules (workspace, id DESC);
CREATE INDEX schedules_due ON millrace.schedules (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE millrace.schedule_fires (
  id uuid PRIMARY KEY,
  schedule_id uuid NOT NULL REFERENCES millrace.schedules ON DELETE CASCADE,
  workspace text NOT NULL,
  trigger text NOT NULL CHECK (trigger IN ('time', 'manual')),
  due_at timestamptz NOT NULL,
  fired_at timestamptz,
  outcome text NOT NULL CHECK (outcome IN ('started', 'queued', 'skipped', 'missed', 'failed')),
  -- Over 1: one row for that many missed times from due_at on.
  count int NOT NULL DEFAULT 1 CHECK (count > 0),
  flow_id uuid,
  reason text,
  -- Not the start of the transaction: every flow made under the schedule's lock before this row is older.
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((outcome = 'started') = (flow_id IS NOT NULL) AND (outcome = 'started') = (fired_at IS NOT NULL))
);
-- No time is fired twice, and no more than one start waits.
CREATE UNIQUE INDEX schedule_fires_once ON millrace.schedule_fires (schedule_id, due_at) WHERE trigger = 'time';
CREATE UNIQUE INDEX schedule_fires_queued ON millrace.schedule_fires (schedule_id) WHERE outcome = 'queued';
CREATE INDEX schedule_fires_by_schedule ON millrace.schedule_fires (schedule_id, id DESC);
CREATE INDEX schedule_fires_age ON millrace.schedule_fires (recorded_at);

-- flows_of_schedule has every flow a schedule ever started; whether one is open must not cost more from year to year.
CREATE INDEX flows_open_of_schedule ON millrace.flows (schedule_id)
  WHERE schedule_id IS NOT NULL AND status NOT IN ('completed', 'failed', 'cancelled');
