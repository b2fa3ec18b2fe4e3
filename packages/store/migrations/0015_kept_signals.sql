-- When to look whether a signal that came early can be delivered to this phase; infinity while its flow is paused. The index has only those
-- phases that wait: signals that nobody waits for lie in nobody's way.
ALTER TABLE millrace.phases ADD COLUMN signal_at timestamptz;
CREATE INDEX phases_with_signal ON millrace.phases (signal_at) WHERE status = 'waiting' AND signal_at IS NOT NULL;

UPDATE millrace.phases p SET signal_at = CASE WHEN f.status = 'paused' THEN 'infinity' ELSE coalesce(f.run_at, now()) END
FROM millrace.signals s JOIN millrace.flows f ON f.id = s.flow_id AND f.run = s.run
WHERE NOT s.delivered AND p.id > s.flow_id AND p.id <= overlay(s.flow_id::text PLACING 'ffff' FROM 33)::uuid
  AND p.status IN ('pending', 'waiting') AND (p.signal = s.name OR p.awaits->'names' ? s.name);
DROP INDEX millrace.signals_undelivered;
