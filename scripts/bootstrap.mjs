// Entry of every npm script: plain JavaScript for any Node from 18 on. Installs what package-lock.json names if that is not
// there yet, then hands over to scripts/main.ts on the Node 24 that the repository brings. What a command does is main.ts's matter.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installDependencies } from './bootstrap/install-dependencies.mjs';
import { BootstrapFault, exitCodes } from './bootstrap/bootstrap-fault.mjs';
import { findNode24 } from './bootstrap/find-node-24.mjs';
import { runMain } from './bootstrap/run-main.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const oldestMajor = 18;

async function bootstrap(args) {
  if (Number(process.versions.node.split('.')[0]) < oldestMajor) {
    throw new BootstrapFault(
      `Node ${process.versions.node} is too old: Millrace needs Node ${oldestMajor} or newer to start.`,
      exitCodes.configuration,
    );
  }
  await installDependencies(root);
  if (args[0] === 'install') return 0;
  return runMain({ root, node: findNode24(root), args });
}

try {
  process.exitCode = await bootstrap(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof BootstrapFault)) throw error;
  process.stderr.write(`millrace: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
