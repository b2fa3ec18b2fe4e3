// The entry of a process that runs one attempt of an isolated phase. Started by a worker only; its configuration is the worker's environment,
// what to do comes over the channel between the two.
import { enableCompileCache } from 'node:module';

enableCompileCache();
const [{ loadConfig }, { createParentLink }, { endOnUnknownFailure }, { runChild }] = await Promise.all([
  import('@millrace/process'),
  import('./parent-link.ts'),
  import('./unknown-failure.ts'),
  import('./run-child.ts'),
]);
// Whoever signals all processes of a service means the worker, which decides what its phases do then.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
const link = createParentLink();
endOnUnknownFailure(link);
const loaded = loadConfig(process.env);
if (!loaded.ok) throw new Error(`the configuration has faults: ${loaded.faults.join('; ')}`);
await runChild({ config: loaded.config, link });
process.exit(0);
