// The shape of a lifecycle as data, and the one question that is asked of it.

/** One arrow: `from` null is the moment before the thing exists. */
export type Transition<Status extends string> = {
  from: Status | null;
  to: Status;
  /** The type of the event that tells of it; null: nothing of its own, what caused it tells enough. */
  event: string | null;
  /** A full sentence for people: when this happens. */
  because: string;
};

/** Whether the table has an arrow from one status to the other. */
export function mayChange<Status extends string>(table: readonly Transition<Status>[], from: Status | null, to: Status): boolean {
  return table.some((arrow) => arrow.from === from && arrow.to === to);
}
