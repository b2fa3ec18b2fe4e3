// What is on its way through the queues just now, found by one index: running and dispatched rows are looked at again within seconds.

/** SQL: rows of phases or chunks that are running, dispatched or due soon. Leases last 10 s; an interrupted phase is delayed by a minute at most. */
export const SOON = "due_at <= now() + interval '90 seconds'";

/** Rows that a page for people looks through at most, whosever they are. */
export const SOON_ROWS_MAX = 50_000;
