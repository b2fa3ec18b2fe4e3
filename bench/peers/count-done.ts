// How a peer tells how many jobs it has done.
const REPORT_EVERY_MS = 10;

/** Counts jobs that are done and prints the count every 10 ms. Never stops: a peer is ended by a signal. */
export function createDoneCounter(): { add(count: number): void } {
  let done = 0;
  setInterval(() => process.stdout.write(`{"done":${done}}\n`), REPORT_EVERY_MS);
  return {
    add: (count) => {
      done += count;
    },
  };
}
