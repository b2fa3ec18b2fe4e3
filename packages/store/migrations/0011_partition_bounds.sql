-- Prepares the tables that grow with every flow for partitions by month (see docs/retention.md). In three files, because each is one transaction:
-- this one takes its locks for moments, but for the one index it builds; the next looks through the tables while everything goes on;
-- the third exchanges the tables, for moments again.

-- The lowest UUIDv7 of an instant. Ids begin with the milliseconds since 1970, so a month is one range of them, the same in every table.
CREATE FUNCTION millrace.first_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- The tables that have partitions, and the column that says to which month a row belongs.
CREATE TABLE millrace.partitioned (
  name text PRIMARY KEY,
  key text NOT NULL,
  -- Whether its months go when nothing in them is to be kept. Children of a flow come before it: rows are deleted in this order.
  position smallint NOT NULL
);
INSERT INTO millrace.partitioned (name, key, position) VALUES
  ('events', 'subject_id', 1), ('attempts', 'phase_id', 2), ('steps', 'phase_id', 3), ('signals', 'flow_id', 4), ('cancellations', 'flow_id', 5),
  ('phases', 'id', 6), ('flows', 'id', 7);

-- Unique only within a month from now on; millrace.children (0013) takes over what it guaranteed.
CREATE INDEX flows_by_parent ON millrace.flows (parent_phase_id, parent_run, child_key) WHERE parent_phase_id IS NOT NULL;
DROP INDEX millrace.flows_children;

-- Everything that is there becomes the partition of all ids up to the end of this month, or of the next if that is about to begin. What comes
-- from clocks that are ahead is put aside, and comes back in the third file.
DO $$
DECLARE
  bound uuid := millrace.first_id(date_trunc('month', (now() + interval '3 days') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 month');
  t record;
BEGIN
  FOR t IN SELECT name, key FROM millrace.partitioned ORDER BY position DESC LOOP
    EXECUTE format('LOCK TABLE millrace.%I IN ACCESS EXCLUSIVE MODE', t.name);
  END LOOP;
  FOR t IN SELECT name, key FROM millrace.partitioned LOOP
    EXECUTE format('CREATE TABLE millrace.%I AS SELECT * FROM millrace.%I WHERE %I >= %L', t.name || '_aside', t.name, t.key, bound);
    EXECUTE format('DELETE FROM millrace.%I WHERE %I >= %L', t.name, t.key, bound);
    EXECUTE format('ALTER TABLE millrace.%I ADD CONSTRAINT partition_bound CHECK (%I < %L) NOT VALID', t.name, t.key, bound);
  END LOOP;
  EXECUTE format('COMMENT ON TABLE millrace.partitioned IS %L', bound);
END
$$;
