// A number of places that are taken and given back, first come, first served.

export type Slots = {
  /** A place, as the function that gives it back; null when none became free in time. */
  take(wait: { timeoutMs: number; until: Promise<unknown> }): Promise<(() => void) | null>;
  takenCount(): number;
};

export function createSlots(max: number): Slots {
  let taken = 0;
  const waiting = new Set<() => void>();
  const place = () => {
    taken += 1;
    let isMine = true;
    return () => {
      if (!isMine) return;
      isMine = false;
      taken -= 1;
      const [next] = waiting;
      next?.();
    };
  };
  return {
    takenCount: () => taken,
    take: async ({ timeoutMs, until }) => {
      if (taken < max) return place();
      return new Promise((resolve) => {
        const settle = (answer: (() => void) | null) => {
          clearTimeout(timer);
          waiting.delete(serve);
          resolve(answer);
        };
        const giveUp = () => {
          settle(null);
        };
        const serve = () => {
          settle(place());
        };
        const timer = setTimeout(giveUp, timeoutMs);
        waiting.add(serve);
        void until.then(giveUp);
      });
    },
  };
}
