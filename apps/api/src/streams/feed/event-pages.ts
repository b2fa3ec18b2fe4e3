// Reads a subject's log from PostgreSQL page by page as finished frames. Clients that need the same page at the same time share one read.
import { publicEvent, readEvents, type LoggedEvent, type Queryable } from '@millrace/store';
import { eventFrame, type EventFrame } from '../frames/sse-frame.ts';

/** Ascending, without a gap inside; there may be one before it. `isFull`: the log may go on behind it. */
export type EventPage = { frames: readonly EventFrame[]; isFull: boolean };

export type EventPages = {
  /**
   * The events of a subject after `afterSeq`, bounded.
   * @param position.knownSeq the newest event the caller has heard of: a read that began when less was known is not shared with it, since it may not have seen that one
   * @throws what the database throws
   */
  read(subjectId: string, position: { afterSeq: number; knownSeq: number }): Promise<EventPage>;
};

type Options = { database: { main: Queryable }; epoch(): Promise<string>; limits: { pageEventsMax: number; pageReadsMax: number } };

export function createEventPages({ database, epoch, limits }: Options): EventPages {
  const underway = new Map<string, Promise<EventPage>>();
  const takeTurn = createTurns(limits.pageReadsMax);

  const readPage = async (subjectId: string, after: number): Promise<EventPage> => {
    const release = await takeTurn();
    try {
      const currentEpoch = await epoch();
      const events = await readEvents(database.main, { subjectId, after, limit: limits.pageEventsMax });
      const run = untilHole(events);
      const frames = run.map((event) => eventFrame(currentEpoch, publicEvent(event)));
      return { frames, isFull: events.length === limits.pageEventsMax || run.length < events.length };
    } finally {
      release();
    }
  };

  return {
    read: (subjectId, { afterSeq, knownSeq }) => {
      const name = `${subjectId} ${afterSeq} ${knownSeq}`;
      const shared = underway.get(name);
      if (shared !== undefined) return shared;
      const page = readPage(subjectId, afterSeq).finally(() => underway.delete(name));
      underway.set(name, page);
      return page;
    },
  };
}

// Removed events leave a hole; a page ends before it, so that the next one begins behind it and whoever reads on notices.
function untilHole(events: readonly LoggedEvent[]): readonly LoggedEvent[] {
  const hole = events.findIndex((event, index) => index > 0 && event.seq !== (events[index - 1]?.seq ?? 0) + 1);
  return hole === -1 ? events : events.slice(0, hole);
}

// The queue is bounded by the number of open streams, each of which waits for at most one page.
function createTurns(atOnceMax: number): () => Promise<() => void> {
  const waiting: (() => void)[] = [];
  let taken = 0;
  const release = () => {
    const next = waiting.shift();
    if (next === undefined) taken -= 1;
    else next();
  };
  return async () => {
    if (taken < atOnceMax) taken += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    return release;
  };
}
