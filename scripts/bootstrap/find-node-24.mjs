// Chooses the Node that runs the TypeScript: the one the repository brings, or, where that cannot run, this one if it is new enough.
import { existsSync } from 'node:fs';
import { BootstrapFault, exitCodes } from './bootstrap-fault.mjs';
import { nodeBinaryPath } from './installed-packages.mjs';

const neededMajor = 24;

/** Path of a Node of major version 24 or newer. Only looks; running it shows whether it works. */
export function findNode24(root) {
  const bundled = nodeBinaryPath(root);
  if (existsSync(bundled)) return { path: bundled, fallback: isNewEnough() ? process.execPath : undefined };
  if (isNewEnough()) return { path: process.execPath, fallback: undefined };
  throw new BootstrapFault(
    `Node ${neededMajor} is missing from node_modules. Remove node_modules and run the same command again.`,
    exitCodes.configuration,
  );
}

const isNewEnough = () => Number(process.versions.node.split('.')[0]) >= neededMajor;
