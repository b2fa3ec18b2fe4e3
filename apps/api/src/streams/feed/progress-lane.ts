// The latest progress of each phase of a subject. One lane serves all clients: each remembers the version it has seen, so a slow one
// skips what was overtaken and costs no memory.

export type ProgressLane = {
  /** Rises with every report. */
  readonly version: number;
  /** Keeps the newest report of a phase. */
  set(phase: string, frame: Buffer): void;
  /** Forgets a phase that has ended. */
  drop(phase: string): void;
  /** Reports that came after this version, oldest first. */
  since(version: number): Buffer[];
};

/** @param phasesMax phases kept at most; the one that has been silent longest gives way */
export function createProgressLane({ phasesMax }: { phasesMax: number }): ProgressLane {
  const latest = new Map<string, { version: number; frame: Buffer }>();
  let version = 0;
  return {
    get version() {
      return version;
    },
    set: (phase, frame) => {
      version += 1;
      // Deleted first, so that the map stays ordered by age.
      latest.delete(phase);
      latest.set(phase, { version, frame });
      const [oldest] = latest.keys();
      if (latest.size > phasesMax && oldest !== undefined) latest.delete(oldest);
    },
    drop: (phase) => {
      latest.delete(phase);
    },
    since: (seen) => (seen >= version ? [] : [...latest.values()].filter((entry) => entry.version > seen).map((entry) => entry.frame)),
  };
}
