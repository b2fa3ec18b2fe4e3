-- Exchanges the tables that grow with every flow for partitioned ones: a month of ids is a partition of each, and what was there is the first.

-- Makes the partition of a month, unless there is one. Rows of that month that are in the default partition, because nobody made it in time, move
-- into it: up to `move_max`, for everybody waits meanwhile. Answers 'made', 'exists' or 'too-many'; of the last, the rows stay where they are.
-- The parent stays usable throughout; the default partition is locked for moments, so the caller should have a lock_timeout.
CREATE FUNCTION millrace.make_partition(parent text, month date, move_max int DEFAULT 10000) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  partition text := parent || to_char(month, '_YYYY_MM');
  lowest uuid := millrace.first_id(date_trunc('month', month::timestamp) AT TIME ZONE 'UTC');
  bound uuid := millrace.first_id((date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC');
  key text := (SELECT p.key FROM millrace.partitioned p WHERE p.name = parent);
  options text;
  many boolean;
BEGIN
  IF to_regclass(format('millrace.%I', partition)) IS NOT NULL OR millrace.partition_of(parent, lowest) IS NOT NULL THEN
    RETURN 'exists';
  END IF;
  SELECT array_to_string(c.reloptions, ', ') INTO options FROM pg_class c WHERE c.oid = format('millrace.%I', parent || '_default')::regclass;
  EXECUTE format('CREATE TABLE millrace.%I (LIKE millrace.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)%s', partition, parent,
    CASE WHEN options IS NULL THEN '' ELSE format(' WITH (%s)', options) END);
  EXECUTE format('LOCK TABLE millrace.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
  EXECUTE format('SELECT count(*) > %s FROM (SELECT FROM millrace.%I WHERE %I >= %L AND %I < %L LIMIT %s) found',
    move_max, parent || '_default', key, lowest, key, bound, move_max + 1) INTO many;
  IF many THEN
    EXECUTE format('DROP TABLE millrace.%I', partition);
    RETURN 'too-many';
  END IF;
  EXECUTE format('WITH moved AS (DELETE FROM millrace.%I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO millrace.%I SELECT * FROM moved',
    parent || '_default', key, lowest, key, bound, partition);
  EXECUTE format('ALTER TABLE millrace.%I ATTACH PARTITION millrace.%I FOR VALUES FROM (%L) TO (%L)', parent, partition, lowest, bound);
  RETURN 'made';
END
$$;

-- Partitions with their bounds; lowest null: from the beginning. The default partitions are not among them.
CREATE VIEW millrace.partitions AS
SELECT p.name AS parent, p.key, p.position, c.relname::text AS name,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([0-9a-f-]{36})''\)'))[1]::uuid AS lowest,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([0-9a-f-]{36})''\)'))[1]::uuid AS bound
FROM millrace.partitioned p
JOIN pg_inherits i ON i.inhparent = to_regclass(format('millrace.%I', p.name))
JOIN pg_class c ON c.oid = i.inhrelid
WHERE pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT';

-- The partition that an id lies in; null: in the default one.
CREATE FUNCTION millrace.partition_of(parent text, id uuid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.name FROM millrace.partitions p
  WHERE p.parent = partition_of.parent AND p.bound > partition_of.id AND (p.lowest IS NULL OR p.lowest <= partition_of.id)
$$;

REVOKE ALL ON FUNCTION millrace.first_id(timestamptz), millrace.make_partition(text, date, int), millrace.partition_of(text, uuid) FROM PUBLIC;

DO $$
DECLARE
  bound uuid := obj_description('millrace.partitioned'::regclass)::uuid;
  first text := to_char(to_timestamp(('x' || left(replace(bound::text, '-', ''), 12))::bit(48)::bigint / 1000.0 - 1) AT TIME ZONE 'UTC', '"_until_"YYYY_MM');
  definitions text[];
  one text;
  options text;
  t record;
  i record;
BEGIN
  FOR t IN SELECT name FROM millrace.partitioned ORDER BY position DESC LOOP
    EXECUTE format('LOCK TABLE millrace.%I IN ACCESS EXCLUSIVE MODE', t.name);
  END LOOP;
  FOR t IN SELECT name, key FROM millrace.partitioned LOOP
    definitions := '{}';
    -- The parent gets the names; the indexes that are there become its partitions' by their definition.
    FOR i IN
      SELECT c.relname AS name, pg_get_indexdef(x.indexrelid) AS definition, k.conname AS pkey, pg_get_constraintdef(k.oid) AS pkey_definition
      FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype = 'p'
      WHERE x.indrelid = format('millrace.%I', t.name)::regclass
    LOOP
      definitions := definitions || CASE WHEN i.pkey IS NULL THEN i.definition
        ELSE format('ALTER TABLE millrace.%I ADD CONSTRAINT %I %s', t.name, i.pkey, i.pkey_definition) END;
      EXECUTE format('ALTER INDEX millrace.%I RENAME TO %I', i.name, left(i.name || first, 63));
    END LOOP;
    SELECT array_to_string(c.reloptions, ', ') INTO options FROM pg_class c WHERE c.oid = format('millrace.%I', t.name)::regclass;
    EXECUTE format('ALTER TABLE millrace.%I RENAME TO %I', t.name, t.name || first);
    EXECUTE format('CREATE TABLE millrace.%I (LIKE millrace.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) PARTITION BY RANGE (%I)',
      t.name, t.name || first, t.key);
    FOREACH one IN ARRAY definitions LOOP
      EXECUTE one;
    END LOOP;
    -- The parent must not have the bound of its first partition, and of that it is the partition's own from now on.
    EXECUTE format('ALTER TABLE millrace.%I DROP CONSTRAINT partition_bound', t.name);
    EXECUTE format('ALTER TABLE millrace.%I ATTACH PARTITION millrace.%I FOR VALUES FROM (MINVALUE) TO (%L)', t.name, t.name || first, bound);
    EXECUTE format('ALTER TABLE millrace.%I DROP CONSTRAINT partition_bound', t.name || first);
    EXECUTE format('CREATE TABLE millrace.%I PARTITION OF millrace.%I DEFAULT%s', t.name || '_default', t.name,
      CASE WHEN options IS NULL THEN '' ELSE format(' WITH (%s)', options) END);
    EXECUTE format('INSERT INTO millrace.%I SELECT * FROM millrace.%I', t.name, t.name || '_aside');
    EXECUTE format('DROP TABLE millrace.%I', t.name || '_aside');
  END LOOP;
END
$$;
COMMENT ON TABLE millrace.partitioned IS 'tables with a partition for each month of ids';

-- Which keys a run of a phase has started children under. Written before the child, in its transaction: the same key never starts two.
CREATE TABLE millrace.children (
  parent_phase_id uuid NOT NULL,
  run int NOT NULL,
  key text NOT NULL,
  PRIMARY KEY (parent_phase_id, run, key)
) PARTITION BY RANGE (parent_phase_id);
CREATE TABLE millrace.children_default PARTITION OF millrace.children DEFAULT;

-- Flows that were deleted, each as one JSON document. Kept until somebody drops them.
CREATE TABLE millrace.flow_archive (
  id uuid NOT NULL PRIMARY KEY,
  workspace text NOT NULL,
  name text NOT NULL,
  version int NOT NULL,
  status text NOT NULL,
  tags jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL,
  archived_at timestamptz NOT NULL DEFAULT now(),
  -- { "flow", "phases", "attempts", "signals", "events" }. Not jsonb: it is only ever read as a whole.
  document json NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX flow_archive_by_workspace ON millrace.flow_archive (workspace, id DESC);
CREATE INDEX flow_archive_by_name ON millrace.flow_archive (workspace, name, id DESC);
CREATE TABLE millrace.flow_archive_default PARTITION OF millrace.flow_archive DEFAULT;

DO $$
DECLARE
  p record;
  m int;
  t record;
BEGIN
  FOR p IN SELECT name, bound FROM millrace.partitions WHERE parent = 'flows' LOOP
    EXECUTE format('CREATE TABLE millrace.%I PARTITION OF millrace.children FOR VALUES FROM (MINVALUE) TO (%L)', replace(p.name, 'flows', 'children'), p.bound);
    EXECUTE format('CREATE TABLE millrace.%I PARTITION OF millrace.flow_archive FOR VALUES FROM (MINVALUE) TO (%L)', replace(p.name, 'flows', 'flow_archive'), p.bound);
  END LOOP;
  INSERT INTO millrace.partitioned (name, key, position) VALUES ('children', 'parent_phase_id', 0), ('flow_archive', 'id', 100);
  INSERT INTO millrace.children (parent_phase_id, run, key)
  SELECT DISTINCT parent_phase_id, coalesce(parent_run, 1), child_key FROM millrace.flows WHERE parent_phase_id IS NOT NULL;
  FOR m IN 1 .. 2 LOOP
    FOR t IN SELECT name FROM millrace.partitioned LOOP
      PERFORM millrace.make_partition(t.name, (date_trunc('month', now() AT TIME ZONE 'UTC') + m * interval '1 month')::date);
    END LOOP;
  END LOOP;
END
$$;

-- How long ended flows of a definition are kept, as the newest version says that any worker ever had. So no worker deletes what another one keeps.
CREATE TABLE millrace.retentions (
  name text PRIMARY KEY,
  version int NOT NULL,
  -- Null: as the workers are configured.
  age_ms bigint CHECK (age_ms >= 0),
  -- Of each workspace; null: any number.
  count int CHECK (count >= 0),
  archive boolean NOT NULL DEFAULT false
);
