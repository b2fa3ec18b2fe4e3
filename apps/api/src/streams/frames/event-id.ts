// Event ids of streams, `<epoch>.<seq>`: writes them, reads what clients send back, and decides where a stream begins.

/** Why a stream starts over. `gap`: events that should follow are gone from the log. */
export type ResetReason = 'malformed' | 'epoch' | 'ahead' | 'gap';

export type StartPoint = { kind: 'after'; seq: number } | { kind: 'reset'; reason: ResetReason };

/** What the client says it has: the header wins over the parameter. An empty text counts as absent. */
export type GivenCursor = { lastEventId: string | undefined; after: string | undefined };

const ID_PATTERN = /^([^.]{1,64})\.(0|[1-9]\d{0,9})$/;
const SEQ_PATTERN = /^(0|[1-9]\d{0,9})$/;

export function formatEventId(epoch: string, seq: number): string {
  return `${epoch}.${seq}`;
}

/**
 * Where to begin. `?after=` takes a plain seq as well as an id; Last-Event-ID is only ever an id of ours.
 * @param log the epoch and the newest seq of the log
 */
export function startPoint(given: GivenCursor, log: { epoch: string; seqLast: number }): StartPoint {
  const { lastEventId, after } = given;
  if (lastEventId !== undefined && lastEventId !== '') return fromId(lastEventId, log);
  if (after === undefined || after === '') return { kind: 'after', seq: 0 };
  return SEQ_PATTERN.test(after) ? fromSeq(Number(after), log.seqLast) : fromId(after, log);
}

function fromId(id: string, log: { epoch: string; seqLast: number }): StartPoint {
  const match = ID_PATTERN.exec(id);
  if (match === null) return { kind: 'reset', reason: 'malformed' };
  if (match[1] !== log.epoch) return { kind: 'reset', reason: 'epoch' };
  return fromSeq(Number(match[2]), log.seqLast);
}

function fromSeq(seq: number, seqLast: number): StartPoint {
  return seq > seqLast ? { kind: 'reset', reason: 'ahead' } : { kind: 'after', seq };
}
