// The life of a long-running part: constructed inert, started explicitly, stopped in reverse order.
import type { Logger } from './logger.ts';

/** Starting twice is a fault; stopping twice, or before starting, is allowed. `stop` must settle by its deadline. */
export type Service = {
  readonly name: string;
  start(): Promise<void>;
  /** @param deadlineMs how long the service may take, in milliseconds from now. */
  stop(deadlineMs: number): Promise<void>;
};

/** Starts services in the given order; if one fails, stops those already started and throws. */
export async function startAll(services: readonly Service[]): Promise<void> {
  const started: Service[] = [];
  for (const service of services) {
    try {
      await service.start();
      started.push(service);
    } catch (error) {
      await Promise.allSettled(started.toReversed().map((running) => running.stop(1_000)));
      throw new Error(`service ${service.name} did not start`, { cause: error });
    }
  }
}

/** Stops services in reverse order, each within what is left of the deadline. Failures are logged and do not keep the rest from stopping. */
export async function stopAll(services: readonly Service[], options: { deadlineMs: number; log: Logger }): Promise<void> {
  const endAt = performance.now() + options.deadlineMs;
  for (const service of services.toReversed()) {
    const leftMs = Math.max(100, endAt - performance.now());
    try {
      await withTimeout(service.stop(leftMs), leftMs + 500);
    } catch (error) {
      options.log.error({ err: error, service: service.name }, 'service did not stop cleanly');
    }
  }
}

/**
 * The promise's result, or a rejection when it takes longer.
 * @throws Error 'timed out after …' when the time is over; the promise itself goes on and its late failure is swallowed on purpose.
 */
export async function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new Error(`timed out after ${Math.round(timeoutMs)} ms`));
  }, timeoutMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
