-- Starts from anywhere: keys that make repeated starts one, starts from the application's own transaction, and the doorbells of admission.

-- The flow that a dedupe key stands for, and when the start that made it was accepted.
CREATE TABLE millrace.dedupe_keys (
  workspace text NOT NULL,
  flow text NOT NULL,
  key text NOT NULL,
  flow_id uuid NOT NULL,
  accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (workspace, flow, key)
);
CREATE INDEX dedupe_keys_age ON millrace.dedupe_keys (accepted_at);

-- Rows of admissions are doorbells: whoever frees a place or makes something wait appends one in the same transaction, and whoever admits
-- deletes those of a key before it looks. With one row per key the second of two writers would find it there, leave nothing of its own, and be
-- overlooked by an admission that reads before it commits; or all writers of a key would wait for each other.
ALTER TABLE millrace.admissions DROP CONSTRAINT admissions_pkey;
ALTER TABLE millrace.admissions ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
CREATE INDEX admissions_by_key ON millrace.admissions (workspace, kind, key);

-- Who has a place under a concurrency key, and who waits for one, in order: either is found without reading the other.
CREATE INDEX flows_admitted ON millrace.flows (workspace, concurrency_key)
  WHERE concurrency_key IS NOT NULL AND admitted AND status NOT IN ('completed', 'failed', 'cancelled');
CREATE INDEX flows_unadmitted ON millrace.flows (workspace, concurrency_key, id)
  WHERE concurrency_key IS NOT NULL AND NOT admitted AND status NOT IN ('completed', 'failed', 'cancelled');

-- A process asks only for flows it knows; those that nobody knows must not lie in the way of the others.
DROP INDEX millrace.flows_unplanned;
CREATE INDEX flows_unplanned ON millrace.flows (name, id) WHERE NOT planned AND status = 'queued';

-- A UUIDv7 (RFC 9562) whose last 16 bits are zero, as newGroupId makes them: 48 bits of milliseconds, 12 bits of what is left of the
-- millisecond (method 3 of the RFC), so that starts of one transaction keep their order, and 46 random bits. Works from PostgreSQL 14.
CREATE FUNCTION millrace.new_group_id() RETURNS uuid LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || sub || '-' || substr(random, 20, 4) || '-' || substr(random, 25, 8) || '0000')::uuid
  FROM (SELECT lpad(to_hex(us / 1000), 12, '0') AS ms, lpad(to_hex(us % 1000 * 4096 / 1000), 3, '0') AS sub, gen_random_uuid()::text AS random
        FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS now) AS parts
$$;

-- Cancels flows that have not started, because other starts take their place; the n-th of replaced gives way to the n-th of replacements.
-- The caller has their rows locked and knows that they have not started. Answers the events.
CREATE FUNCTION millrace.cancel_replaced(replaced uuid[], replacements uuid[], actors text[])
RETURNS TABLE (subject_id uuid, seq int, workspace text, type text, phase text, at timestamptz, data jsonb)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  WITH asked AS (
    SELECT * FROM unnest(replaced, replacements, actors) AS a (id, by_id, actor)
  ), closed AS (
    UPDATE millrace.phases p SET status = 'cancelled', held = NULL, due_at = NULL, finished_at = clock_timestamp()
    WHERE p.status IN ('pending', 'queued', 'retrying', 'waiting') AND p.id = ANY(ARRAY(
      SELECT q.id FROM asked a
      -- OFFSET 0 keeps it a look at the primary key for each flow.
      CROSS JOIN LATERAL (SELECT id FROM millrace.phases WHERE id > a.id AND id <= overlay(a.id::text PLACING 'ffff' FROM 33)::uuid OFFSET 0) q))
  ), ended AS (
    UPDATE millrace.flows f SET status = 'cancelled', phases_open = 0, phases_active = 0, due_at = NULL, finished_at = clock_timestamp(), seq_last = f.seq_last + 1
    FROM asked a WHERE f.id = a.id
    RETURNING f.id, f.seq_last, f.workspace, f.concurrency_key, f.admitted, a.by_id, a.actor
  ), rung AS (
    INSERT INTO millrace.admissions (workspace, kind, key)
    SELECT DISTINCT e.workspace, 'limit', e.concurrency_key FROM ended e WHERE e.concurrency_key IS NOT NULL AND e.admitted
  )
  INSERT INTO millrace.events AS l (subject_id, seq, workspace, type, phase, at, data)
  SELECT e.id, e.seq_last, e.workspace, 'flow.cancelled', NULL, clock_timestamp(), jsonb_build_object('by', e.actor, 'reason', 'replaced', 'replacedBy', e.by_id)
  FROM ended e
  RETURNING l.subject_id, l.seq, l.workspace, l.type, l.phase, l.at, l.data
$$;

-- What is wrong with the arguments of start_flow, in words; null when nothing is. The limits are those of POST /v1/flows.
CREATE FUNCTION millrace.start_flow_fault(
  name text, input jsonb, workspace text, tags jsonb, priority int, run_at timestamptz,
  concurrency_key text, concurrency_limit int, dedupe_key text, dedupe_mode text, dedupe_window interval
) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN name IS NULL OR name !~ '^[a-z][a-z0-9._-]{0,99}$' THEN 'name must be the name of a flow definition'
    WHEN input IS NULL THEN 'input must not be null'
    WHEN octet_length(input::text) > 1048576 THEN 'input must not be larger than 1048576 bytes'
    WHEN NOT EXISTS (SELECT FROM millrace.workspaces w WHERE w.name = start_flow_fault.workspace) THEN 'workspace must be the name of a workspace'
    WHEN jsonb_typeof(tags) <> 'object' THEN 'tags must be a JSON object'
    WHEN (SELECT count(*) FROM jsonb_object_keys(CASE WHEN jsonb_typeof(tags) = 'object' THEN tags ELSE '{}' END)) > 32 THEN 'tags may be 32 at most'
    WHEN EXISTS (
      SELECT FROM jsonb_each(CASE WHEN jsonb_typeof(tags) = 'object' THEN tags ELSE '{}' END) t
      WHERE t.key !~ '^[A-Za-z0-9_.-]{1,64}$' OR jsonb_typeof(t.value) <> 'string' OR char_length(t.value #>> '{}') > 256
    ) THEN 'tags must have keys of 1 to 64 letters, digits, "_", "." or "-" and values of at most 256 characters'
    WHEN priority NOT BETWEEN 1 AND 100 THEN 'priority must be from 1 to 100'
    WHEN run_at > now() + interval '10 years' THEN 'run_at may be ten years ahead at most'
    WHEN char_length(concurrency_key) NOT BETWEEN 1 AND 200 THEN 'concurrency_key must have 1 to 200 characters'
    WHEN concurrency_limit NOT BETWEEN 1 AND 10000 THEN 'concurrency_limit must be from 1 to 10000'
    WHEN char_length(dedupe_key) NOT BETWEEN 1 AND 200 THEN 'dedupe_key must have 1 to 200 characters'
    WHEN dedupe_mode NOT IN ('reject', 'return', 'replace', 'window') THEN 'dedupe_mode must be reject, return, replace or window'
    WHEN (dedupe_mode = 'window') <> (dedupe_window IS NOT NULL) THEN 'dedupe_window belongs to dedupe_mode window, which needs it'
    WHEN dedupe_mode = 'window' AND dedupe_key IS NULL THEN 'dedupe_mode window needs a dedupe_key'
    WHEN dedupe_window <= interval '0' OR dedupe_window > interval '24 days' THEN 'dedupe_window must be positive and at most 24 days'
  END
$$;

-- Starts a flow in the caller's transaction: it exists when that commits, and not before. A worker that knows the definition checks the input
-- and makes the phases afterwards. Answers the id of the flow: the new one, or the one that dedupe_key stands for.
-- Runs with the rights of its owner, so that a role needs no more than EXECUTE on it and USAGE on the schema.
CREATE FUNCTION millrace.start_flow(
  name text,
  input jsonb,
  workspace text DEFAULT 'default',
  tags jsonb DEFAULT '{}',
  priority int DEFAULT 50,
  run_at timestamptz DEFAULT NULL,
  concurrency_key text DEFAULT NULL,
  concurrency_limit int DEFAULT 1,
  dedupe_key text DEFAULT NULL,
  dedupe_mode text DEFAULT 'return',
  dedupe_window interval DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  new_id uuid;
  actor text := 'sql:' || session_user;
  fault text;
  kept record;
  old record;
BEGIN
  -- Drivers tend to send null for what was left out.
  workspace := coalesce(start_flow.workspace, 'default');
  tags := coalesce(start_flow.tags, '{}');
  priority := coalesce(start_flow.priority, 50);
  concurrency_limit := coalesce(start_flow.concurrency_limit, 1);
  dedupe_mode := coalesce(start_flow.dedupe_mode, 'return');
  fault := millrace.start_flow_fault(start_flow.name, start_flow.input, start_flow.workspace, start_flow.tags, start_flow.priority, start_flow.run_at,
    start_flow.concurrency_key, start_flow.concurrency_limit, start_flow.dedupe_key, start_flow.dedupe_mode, start_flow.dedupe_window);
  IF fault IS NOT NULL THEN
    RAISE EXCEPTION 'millrace.start_flow: %', fault USING ERRCODE = '22023';
  END IF;
  new_id := millrace.new_group_id();

  IF start_flow.dedupe_key IS NOT NULL THEN
    -- The same order of locks as in the API: the key, then the flow it stands for.
    LOOP
      INSERT INTO millrace.dedupe_keys (workspace, flow, key, flow_id)
      VALUES (start_flow.workspace, start_flow.name, start_flow.dedupe_key, new_id) ON CONFLICT DO NOTHING;
      SELECT k.flow_id, k.accepted_at INTO kept FROM millrace.dedupe_keys k
      WHERE k.workspace = start_flow.workspace AND k.flow = start_flow.name AND k.key = start_flow.dedupe_key FOR UPDATE;
      EXIT WHEN FOUND;
    END LOOP;
    IF kept.flow_id <> new_id THEN
      IF start_flow.dedupe_mode = 'replace' THEN
        PERFORM FROM millrace.flows f WHERE f.id = kept.flow_id FOR UPDATE;
      END IF;
      SELECT f.status IN ('completed', 'failed', 'cancelled') AS ended, f.started_at IS NOT NULL AS started INTO old
      FROM millrace.flows f WHERE f.id = kept.flow_id;
      IF FOUND THEN
        IF start_flow.dedupe_mode = 'window' THEN
          IF kept.accepted_at + start_flow.dedupe_window > clock_timestamp() THEN
            RETURN kept.flow_id;
          END IF;
        ELSIF NOT old.ended THEN
          IF start_flow.dedupe_mode = 'reject' THEN
            RAISE EXCEPTION 'millrace.start_flow: the flow % has this dedupe_key and has not ended', kept.flow_id
              USING ERRCODE = 'unique_violation', DETAIL = kept.flow_id::text;
          ELSIF start_flow.dedupe_mode = 'return' OR old.started THEN
            RETURN kept.flow_id;
          END IF;
          PERFORM FROM millrace.cancel_replaced(ARRAY[kept.flow_id], ARRAY[new_id], ARRAY[actor]);
        END IF;
      END IF;
      UPDATE millrace.dedupe_keys k SET flow_id = new_id, accepted_at = clock_timestamp()
      WHERE k.workspace = start_flow.workspace AND k.flow = start_flow.name AND k.key = start_flow.dedupe_key;
    END IF;
  END IF;

  INSERT INTO millrace.flows (id, workspace, name, version, status, input, tags, priority, run_at, seq_last, phases_total, phases_open, phases_active,
    created_by, concurrency_key, concurrency_limit, admitted, planned)
  VALUES (new_id, start_flow.workspace, start_flow.name, 0, 'queued', start_flow.input, start_flow.tags, start_flow.priority,
    CASE WHEN start_flow.run_at > clock_timestamp() THEN start_flow.run_at END, 1, 0, 0, 0,
    actor, start_flow.concurrency_key, start_flow.concurrency_limit, start_flow.concurrency_key IS NULL, false);
  INSERT INTO millrace.events (subject_id, seq, workspace, type, at, data)
  VALUES (new_id, 1, start_flow.workspace, 'flow.queued', clock_timestamp(), jsonb_build_object('flow', start_flow.name));
  RETURN new_id;
END
$$;

REVOKE ALL ON FUNCTION millrace.new_group_id(), millrace.cancel_replaced(uuid[], uuid[], text[]),
  millrace.start_flow_fault(text, jsonb, text, jsonb, int, timestamptz, text, int, text, text, interval),
  millrace.start_flow(text, jsonb, text, jsonb, int, timestamptz, text, int, text, text, interval) FROM PUBLIC;
