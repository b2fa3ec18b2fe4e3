// The instance's epoch and cursor secret, read when first needed and again after a while: the database may have been away at the start,
// and a restore gives it another epoch under a running process.
import type { Clock } from '@millrace/process';
import type { Instance } from '@millrace/store';

const FRESH_MS = 5_000;

export type InstanceLoader = () => Promise<Instance>;

/** The last known instance serves on while the database cannot be asked. */
export function createInstanceLoader({ read, clock }: { read(): Promise<Instance>; clock: Clock }): InstanceLoader {
  let known: { instance: Instance; at: number } | undefined;
  let reading: Promise<Instance> | undefined;
  const readOnce = () => {
    reading ??= read()
      .then((instance) => {
        known = { instance, at: clock.monotonicMs() };
        return instance;
      })
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
  return async () => {
    if (known !== undefined && clock.monotonicMs() - known.at < FRESH_MS) return known.instance;
    if (known === undefined) return readOnce();
    const last = known.instance;
    return readOnce().catch(() => last);
  };
}
