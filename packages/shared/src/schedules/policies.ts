// The words for how a schedule behaves and for what became of a time that came.

/**
 * What happens at a time when a flow of the schedule has not ended. skip: nothing. queue: one start waits for the end, more are skipped.
 * cancel-previous: the open flows are cancelled first. allow: they run side by side.
 */
export const OVERLAP_POLICIES = ['skip', 'queue', 'cancel-previous', 'allow'] as const;
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/** What happens to times that came while no process was there to fire them. last: only the newest is fired. all: each of them is. */
export const CATCH_UP_POLICIES = ['none', 'last', 'all'] as const;
export type CatchUpPolicy = (typeof CATCH_UP_POLICIES)[number];

/**
 * started: there is a flow. queued: it starts when the flows before it have ended. skipped: by the overlap policy, or by a pause.
 * missed: nobody fired it in time. failed: no flow could be made of it.
 */
export const FIRE_OUTCOMES = ['started', 'queued', 'skipped', 'missed', 'failed'] as const;
export type FireOutcome = (typeof FIRE_OUTCOMES)[number];

/** What made a schedule fire: its cron expression, or somebody. */
export const FIRE_TRIGGERS = ['time', 'manual'] as const;
export type FireTrigger = (typeof FIRE_TRIGGERS)[number];
