-- What handlers consumed, and which phase made an import.

-- Sums by day (UTC), for the key or user that started the flow.
CREATE TABLE millrace.usage (
  workspace text NOT NULL,
  day date NOT NULL,
  key_id text NOT NULL,
  kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,39}$'),
  amount numeric NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (workspace, day, key_id, kind)
);

-- The last flush of each process that was added to the sums: one that is sent again because its answer was lost is not added again.
CREATE TABLE millrace.usage_flushes (
  source text PRIMARY KEY,
  seq bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);

-- The phase that made it with ctx.import, so that a later attempt finds it again.
ALTER TABLE millrace.imports
  ADD COLUMN phase_id uuid,
  ADD COLUMN phase_run int,
  ADD COLUMN phase_key text;
CREATE UNIQUE INDEX imports_of_phase ON millrace.imports (phase_id, phase_run, phase_key) WHERE phase_id IS NOT NULL;
