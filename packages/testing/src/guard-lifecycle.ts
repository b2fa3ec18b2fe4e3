// Makes a test's database refuse every change of status that the tables of transitions do not have, whoever makes it.
import { FLOW_TRANSITIONS, PHASE_TRANSITIONS, type Transition } from '@millrace/shared';
import type { Queryable } from '@millrace/store';

/** Installs a trigger on flows and one on phases. A test that forges a state says so in its statement: it contains the comment `forged`. */
export async function guardLifecycle(on: Queryable): Promise<void> {
  await on.query(`
CREATE SCHEMA lifecycle_guard;
${guard('flows', FLOW_TRANSITIONS)}
${guard('phases', PHASE_TRANSITIONS)}`);
}

// The condition names the arrows that are allowed, so that only a wrong change ever calls a function.
function guard(table: string, transitions: readonly Transition<string>[]): string {
  const allowed = transitions.flatMap(({ from, to }) => (from === null ? [] : [`'${from} ${to}'`])).join(', ');
  return `
CREATE FUNCTION lifecycle_guard.refuse_${table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_query() LIKE '%/* forged */%' THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'no transition of ${table} leads from % to % (%)', OLD.status, NEW.status, NEW.id USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER lifecycle_guard AFTER UPDATE OF status ON millrace.${table} FOR EACH ROW
WHEN (OLD.status <> NEW.status AND (OLD.status || ' ' || NEW.status) NOT IN (${allowed}))
EXECUTE FUNCTION lifecycle_guard.refuse_${table}();`;
}
