// Puts events that arrive in any order, twice or not at all back into 1, 2, 3. Pure: knows numbers, not where events come from.

export type Sequenced = { seq: number };

export type EventSequencer<Item extends Sequenced> = {
  /** Everything up to this number has been given out. */
  readonly headSeq: number;
  /** Takes items; answers those that now follow the head without a gap, in order. Known ones are dropped. */
  accept(items: readonly Item[]): Item[];
  /** Goes on after `headSeq`, forgetting what is held back. */
  restart(headSeq: number): void;
};

/** @param heldMax items held back at most; more are forgotten, since whoever fills the gap brings them along */
export function createEventSequencer<Item extends Sequenced>({ heldMax }: { heldMax: number }): EventSequencer<Item> {
  const held = new Map<number, Item>();
  let headSeq = 0;

  const hold = (item: Item) => {
    if (held.size < heldMax) held.set(item.seq, item);
  };
  const release = (ready: Item[]) => {
    for (let next = held.get(headSeq + 1); next !== undefined; next = held.get(headSeq + 1)) {
      held.delete(next.seq);
      headSeq = next.seq;
      ready.push(next);
    }
  };

  return {
    get headSeq() {
      return headSeq;
    },
    accept: (items) => {
      const ready: Item[] = [];
      for (const item of items) {
        if (item.seq <= headSeq) continue;
        if (item.seq > headSeq + 1) {
          hold(item);
          continue;
        }
        held.delete(item.seq);
        headSeq = item.seq;
        ready.push(item);
        if (held.size > 0) release(ready);
      }
      return ready;
    },
    restart: (seq) => {
      headSeq = seq;
      held.clear();
    },
  };
}
