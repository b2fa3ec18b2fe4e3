-- start_flow as in 0007, but that it locks the flow of a dedupe key only when it may replace it.

-- Starts a flow in the caller's transaction: it exists when that commits, and not before. A worker that knows the definition checks the input
-- and makes the phases afterwards. Answers the id of the flow: the new one, or the one that dedupe_key stands for.
-- Runs with the rights of its owner, so that a role needs no more than EXECUTE on it and USAGE on the schema.
CREATE OR REPLACE FUNCTION millrace.start_flow(
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
        -- What has started stays: it must not be kept from its workers until the application commits.
        PERFORM FROM millrace.flows f WHERE f.id = kept.flow_id AND f.started_at IS NULL FOR UPDATE;
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
