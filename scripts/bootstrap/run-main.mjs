// Runs scripts/main.ts on Node 24, passes signals on exactly once, waits, and returns its exit code.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { BootstrapFault, exitCodes } from './bootstrap-fault.mjs';

/**
 * Ctrl-C in a terminal reaches this process twice: from the terminal and from npm, which passes on what it gets.
 * Within this time the same signal counts as one; a person's second Ctrl-C comes later.
 */
const sameSignalMs = 400;

/** @returns {Promise<number>} the exit code, 128 + signal number if a signal ended it. */
export function runMain({ root, node, args }) {
  // Node's own binary may not run on this system; then the fallback, a Node 24 of the system, is tried.
  return runOn(node.path, { root, args }).catch((error) => {
    if (node.fallback === undefined || !['ENOENT', 'EACCES', 'ENOEXEC'].includes(error.code)) throw startFault(error, node.path);
    return runOn(node.fallback, { root, args });
  });
}

function runOn(path, { root, args }) {
  return new Promise((resolve, reject) => {
    // Detached: signals of the terminal reach it through us only. The channel tells it when we are gone for good (kill -9).
    const child = spawn(path, ['--disable-warning=ExperimentalWarning', join(root, 'scripts', 'main.ts'), ...args], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      detached: true,
    });
    const stopForwarding = forwardSignals(child);
    child.on('error', (error) => {
      stopForwarding();
      reject(error);
    });
    child.on('exit', (code, signal) => {
      stopForwarding();
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

function forwardSignals(child) {
  const lastAt = new Map();
  const handle = (signal) => {
    const now = Date.now();
    if (now - (lastAt.get(signal) ?? -Infinity) < sameSignalMs) return;
    lastAt.set(signal, now);
    child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, handle);
  return () => signals.forEach((signal) => process.removeListener(signal, handle));
}

function startFault(error, path) {
  return new BootstrapFault(
    `${path} could not be started (${error.code ?? error.message}). Remove node_modules and run the same command again.`,
    exitCodes.unavailable,
  );
}
