// Our own processes in a stack: the migration, which runs once, and the API and the workers, which stay.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runOnce } from './process/run-once.ts';
import { createSupervisedProcess, type ProcessDeps, type SupervisedProcess } from './process/supervised-process.ts';
import { exitCodes, StackFault } from './stack-fault.ts';

export type ServiceOptions = { root: string; env: NodeJS.ProcessEnv; signal: AbortSignal };

/** A large migration of a large database may take long; the reporter shows that it runs. */
const migrateWithinMs = 3_600_000;
const apiReadyWithinMs = 60_000;
/** How long a service may take to drain before it is killed; more if it was told to take longer itself (MILLRACE_STOP_TIMEOUT_MS). */
const stopWithinMs = 25_000;
const stopMarginMs = 5_000;
const probePollMs = 25;
/** A smaller young generation keeps an idle process under 150 MB; it costs no throughput that we could measure. */
const youngHeapFlag = '--max-semi-space-size=8';

/** Brings the schema up to date. Throws a StackFault with what the migration printed if it fails. */
export async function migrate({ root, env, signal }: ServiceOptions): Promise<void> {
  const result = await runOnce(process.execPath, [join(root, 'packages/store/src/migrate-main.ts')], {
    env,
    cwd: root,
    signal,
    timeoutMs: migrateWithinMs,
  });
  signal.throwIfAborted();
  if (result.code === 0) return;
  throw new StackFault(
    result.code === exitCodes.configuration ? 'configuration' : 'failed',
    `The database could not be migrated (exit code ${result.code ?? 'none'}).`,
    {
      advice: result.output.trim().split('\n').slice(-10),
    },
  );
}

/** The API and `workers` workers, constructed but not started. */
export function createServices(
  { root, env, workers }: Omit<ServiceOptions, 'signal'> & { workers: number },
  deps: ProcessDeps,
): { api: SupervisedProcess; workers: SupervisedProcess[] } {
  const service = (name: string, main: string, serviceEnv: NodeJS.ProcessEnv): SupervisedProcess => {
    const spec = {
      name,
      command: process.execPath,
      args: [youngHeapFlag, join(root, main)],
      env: serviceEnv,
      cwd: root,
      stopWithinMs: stopDeadlineMs(env),
    };
    return createSupervisedProcess({ ...spec, stopSignal: 'SIGTERM', killSignal: 'SIGKILL' }, deps);
  };
  return {
    api: service('api', 'apps/api/src/main.ts', env),
    workers: Array.from({ length: workers }, (_, index) =>
      service(`worker-${index + 1}`, 'apps/worker/src/main.ts', workerEnvironment(env, index)),
    ),
  };
}

export function stopDeadlineMs(env: NodeJS.ProcessEnv): number {
  const own = Number(env['MILLRACE_STOP_TIMEOUT_MS'] ?? 0);
  return Math.max(stopWithinMs, Number.isFinite(own) ? own + stopMarginMs : 0);
}

/** Workers of one machine cannot share the port of their metrics: the first gets MILLRACE_METRICS_PORT, the others the ports after it. */
export function workerEnvironment(env: NodeJS.ProcessEnv, index: number): NodeJS.ProcessEnv {
  const port = Number(env['MILLRACE_METRICS_PORT'] ?? 0);
  return Number.isInteger(port) && port > 0 ? { ...env, MILLRACE_METRICS_PORT: String(port + index) } : env;
}

/** Starts the API and waits until it accepts work; starts the workers beside it. */
export async function startServices(
  { api, workers }: { api: SupervisedProcess; workers: SupervisedProcess[] },
  { baseUrl, signal }: { baseUrl: string; signal: AbortSignal },
): Promise<void> {
  const started = await Promise.all([
    api.start({ isReady: () => isReady(baseUrl), withinMs: apiReadyWithinMs, signal }),
    ...workers.map((worker) => worker.start({ withinMs: apiReadyWithinMs, signal })),
  ]);
  if (started[0] !== true) throw serviceFault(api, `The API was not ready within ${apiReadyWithinMs / 1000} s`);
  const lost = workers.find((_, index) => started[index + 1] !== true);
  if (lost !== undefined) throw serviceFault(lost, `${lost.name} could not be started`);
}

function serviceFault(service: SupervisedProcess, message: string): StackFault {
  const why = service.pid() === undefined ? `${service.name} ended while it was starting` : message;
  const lines = service.lastLines(8);
  return new StackFault('failed', `${why}. Its log: ${service.logPath}`, { advice: lines });
}

/** Whether `GET /health/ready` answers 200 within a second. */
export async function isReady(baseUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${baseUrl}/health/ready`, { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    // Not listening yet.
    await delay(probePollMs);
    return false;
  }
}
