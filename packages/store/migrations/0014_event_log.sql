-- Keeps the events that one statement writes about a subject in one row. A flow of three phases has twelve events and five commits: the log was the
-- largest part of what a phase costs. Everybody reads, and whoever writes rarely also writes, through the view millrace.events, which looks as
-- the table did.
CREATE TABLE millrace.event_log (
  subject_id uuid NOT NULL,
  at timestamptz NOT NULL,
  -- The number of the last event in this row; the others come right before it.
  seq int NOT NULL,
  workspace text NOT NULL,
  -- [[type, phase or null, data], ...]. Not jsonb: it is only ever read as a whole.
  entries json NOT NULL,
  PRIMARY KEY (subject_id, seq)
) PARTITION BY RANGE (subject_id);
CREATE TABLE millrace.event_log_default PARTITION OF millrace.event_log DEFAULT;

DO $$
DECLARE
  p record;
BEGIN
  LOCK TABLE millrace.events IN ACCESS EXCLUSIVE MODE;
  FOR p IN SELECT name, lowest, bound FROM millrace.partitions WHERE parent = 'events' LOOP
    EXECUTE format('CREATE TABLE millrace.%I PARTITION OF millrace.event_log FOR VALUES FROM (%s) TO (%L)',
      regexp_replace(p.name, '^events', 'event_log'), coalesce(quote_literal(p.lowest), 'MINVALUE'), p.bound);
  END LOOP;
END
$$;
INSERT INTO millrace.event_log (subject_id, at, seq, workspace, entries)
SELECT subject_id, at, seq, workspace, json_build_array(json_build_array(type, phase, data)) FROM millrace.events;
DROP TABLE millrace.events;
UPDATE millrace.partitioned SET name = 'event_log' WHERE name = 'events';

CREATE VIEW millrace.events AS
SELECT l.subject_id, (l.seq - json_array_length(l.entries) + e.number)::int AS seq, l.workspace, e.entry->>0 AS type, e.entry->>1 AS phase, l.at, (e.entry->2)::jsonb AS data
FROM millrace.event_log l CROSS JOIN LATERAL json_array_elements(l.entries) WITH ORDINALITY AS e (entry, number);

CREATE FUNCTION millrace.log_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO millrace.event_log (subject_id, at, seq, workspace, entries)
  VALUES (NEW.subject_id, NEW.at, NEW.seq, NEW.workspace, pg_catalog.json_build_array(pg_catalog.json_build_array(NEW.type, NEW.phase, NEW.data)));
  RETURN NEW;
END
$$;
CREATE TRIGGER log_event INSTEAD OF INSERT ON millrace.events FOR EACH ROW EXECUTE FUNCTION millrace.log_event();

-- Room on its page for the versions that a flow's row gets until it has ended, so that those in between need no new entries in the indexes.
DO $$
DECLARE
  p record;
BEGIN
  FOR p IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'millrace.flows'::regclass LOOP
    EXECUTE format('ALTER TABLE millrace.%I SET (fillfactor = 40)', p.relname);
  END LOOP;
END
$$;
