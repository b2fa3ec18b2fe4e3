// The demonstration: a real inventory through the whole system, over REST only, as any other client would do it.
import { join } from 'node:path';
import { createStepReporter } from '../terminal/step-reporter.ts';
import { buildInventory } from './build-inventory.ts';
import { createApiClient } from './client/api-client.ts';
import { runDiscovery } from './run-discovery.ts';
import { importInventory } from './import-inventory.ts';
import { showReport } from './show-report.ts';

export type DemoOptions = {
  /** Of the running API, for example http://127.0.0.1:8080. */
  baseUrl: string;
  adminKey: string;
  /** A package-lock.json of version 2 or 3. Default: the one of this repository. */
  lockfilePath: string | undefined;
  out: NodeJS.WritableStream;
  signal: AbortSignal;
  /** Where the Markdown report goes. Default: `.millrace/reports` of this repository. */
  reportsFolder?: string;
};

const REPOSITORY = join(import.meta.dirname, '..', '..');

/**
 * Imports the lockfile's packages as a dataset, runs `discovery` on them, shows both live and prints the findings.
 * @throws DemoError for what the person at the terminal can act on; the signal's reason when it aborts.
 */
export async function runDemo({ baseUrl, adminKey, lockfilePath, out, signal, reportsFolder }: DemoOptions): Promise<void> {
  const terminal: TerminalLike = out;
  const reporter = createStepReporter({ out: terminal, env: terminal.hasColors?.() === true ? {} : { NO_COLOR: '1' } });
  const inventory = await buildInventory(lockfilePath ?? join(REPOSITORY, 'package-lock.json'));
  const client = createApiClient({ baseUrl, key: adminKey, signal });
  try {
    const imported = await importInventory({ client, reporter, inventory, signal });
    const flow = await runDiscovery({ client, reporter, importId: imported.importId, isLive: terminal.isTTY === true, signal });
    await showReport({ reporter, imported, flow, folder: reportsFolder ?? join(REPOSITORY, '.millrace', 'reports') });
  } finally {
    reporter.pause();
  }
}

/** A terminal knows by itself whether colours are wanted: `hasColors` looks at NO_COLOR and TERM. */
type TerminalLike = NodeJS.WritableStream & { isTTY?: boolean; hasColors?: () => boolean };
