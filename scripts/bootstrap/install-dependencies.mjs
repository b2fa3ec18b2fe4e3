// Runs npm ci when node_modules is missing or belongs to another lockfile. A run that fails or is interrupted leaves no stamp,
// so it is never believed good. Finding and running Node 24 is left to find-node-24.mjs and run-main.mjs.
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { BootstrapFault, exitCodes } from './bootstrap-fault.mjs';
import { takeInstallLock } from './install-lock.mjs';
import { adoptInstallation, isInstalled, markInstalled, markUnfinished, nodeBinaryPath } from './installed-packages.mjs';
import { explainNpmFailure, isOnlyMissingOtherPlatforms } from './npm-failure.mjs';
import { startProgressLine } from './progress-line.mjs';

const npmOptions = [
  '--include=dev',
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
  '--prefer-offline',
  '--fetch-retries=2',
  '--fetch-retry-mintimeout=1000',
  '--fetch-retry-maxtimeout=5000',
];
const pingOptions = ['--loglevel=error', '--fetch-retries=0', '--fetch-timeout=10000'];
/** About what node_modules takes. With less than this left after a failure the disk is the reason, whatever npm says: some of its steps hide it. */
const neededBytes = 600 * 1024 * 1024;
/** npm's output is only kept to explain a failure. */
const outputKeepCharacters = 64 * 1024;
const shownLines = 8;

/** Makes node_modules fit package-lock.json. Returns at once (a few milliseconds) when it does already. */
export async function installDependencies(root) {
  if (isInstalled(root) || adoptInstallation(root)) return;
  const lock = await takeInstallLock(root, (pid) =>
    process.stderr.write(`millrace: another process (pid ${pid}) is installing dependencies here, waiting for it\n`),
  );
  try {
    if (lock.waited && (isInstalled(root) || adoptInstallation(root))) return;
    await install(root);
  } finally {
    lock.release();
  }
}

async function install(root) {
  const line = startProgressLine('installing dependencies (npm ci)');
  try {
    markUnfinished(root);
    await installPackages(root);
    if (!fs.existsSync(nodeBinaryPath(root))) await installNodeBinary(root);
    const version = spawnSync(nodeBinaryPath(root), ['--version'], { encoding: 'utf8' });
    // A binary that does not run here (another C library, for example) is not fatal: a Node 24 of the system may do.
    if (version.status !== 0)
      process.stderr.write(
        `millrace: the Node that npm installed does not run on this system (${version.error?.code ?? version.stderr.trim()})\n`,
      );
    markInstalled(root);
    line.finish('installed dependencies');
  } catch (error) {
    line.clear();
    throw permissionFault(error, root);
  }
}

// npm ci takes exactly the lockfile. npm install --no-save takes it as well and leaves it as it is, but puts up with optional packages missing from it.
async function installPackages(root) {
  // Asked first, because npm tries every package several times, one after another, before it gives up on a registry that is away.
  const options = (await isRegistryThere(root)) ? npmOptions : [...npmOptions, '--offline'];
  try {
    await runNpm(root, ['ci', ...options]);
  } catch (error) {
    if (!isOnlyMissingOtherPlatforms(error.npmOutput ?? '')) throw error;
    await runNpm(root, ['install', '--no-save', ...options]);
  }
}

// False only if it could not be reached; any answer, "no such page" included, is a registry.
async function isRegistryThere(root) {
  try {
    await runNpm(root, ['ping', ...pingOptions]);
    return true;
  } catch (error) {
    if (error.npmOutput === undefined) throw error;
    return explainNpmFailure(error.npmOutput, root).exitCode !== exitCodes.unavailable;
  }
}

function permissionFault(error, root) {
  return error instanceof BootstrapFault || !error.code ? error : asFault(explainNpmFailure(`npm error code ${error.code}`, root));
}

const asFault = ({ message, exitCode }) => new BootstrapFault(message, exitCode);

// npm may be told not to run install scripts; the `node` package fetches its binary in one, so it is run by hand then.
async function installNodeBinary(root) {
  await run(process.execPath, ['installArchSpecificPackage.js'], { cwd: join(root, 'node_modules', 'node'), root });
  if (!fs.existsSync(nodeBinaryPath(root)))
    throw new BootstrapFault(
      'npm installed everything but the Node 24 binary of the package "node". Try: npm rebuild node',
      exitCodes.unavailable,
    );
}

function runNpm(root, args) {
  const cli = process.env.npm_execpath;
  const isNpm = cli !== undefined && /npm-cli\.c?js$/.test(cli) && fs.existsSync(cli);
  return isNpm ? run(process.execPath, [cli, ...args], { cwd: root, root }) : run('npm', args, { cwd: root, root });
}

// In a process group of its own, so that Ctrl-C reaches it once and through us.
function run(command, args, { cwd, root }) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) };
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    const keep = (chunk) => (output = (output + chunk).slice(0, outputKeepCharacters));
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    const interruption = forwardInterruption(child);
    child.on('error', (error) => {
      interruption.end();
      reject(
        error.code === 'ENOENT'
          ? new BootstrapFault(
              `${command} was not found. Install Node.js with npm, then run the same command again.`,
              exitCodes.unavailable,
            )
          : error,
      );
    });
    child.on('close', (code) => {
      interruption.end();
      if (interruption.signal()) {
        reject(
          new BootstrapFault(
            'Interrupted while installing; the next run starts the installation again.',
            128 + constants.signals[interruption.signal()],
          ),
        );
      } else if (code === 0) resolve();
      else reject(npmFault(output, root));
    });
  });
}

function npmFault(output, root) {
  const { message, exitCode } = explainNpmFailure(isDiskFull(root) ? 'npm error code ENOSPC' : output, root);
  // npm says what matters first and ends with hints about itself.
  const lines = output.split('\n').filter((text) => text.replace(/^npm \S+/, '').trim() !== '');
  const shown = lines
    .slice(0, shownLines)
    .map((text) => `  ${text}`)
    .join('\n');
  return Object.assign(new BootstrapFault(`${message}\n${shown}`, exitCode), { npmOutput: output });
}

function isDiskFull(root) {
  // Older than Node 18.15: not known.
  if (typeof fs.statfsSync !== 'function') return false;
  const { bavail, bsize } = fs.statfsSync(root);
  return bavail * bsize < neededBytes;
}

function forwardInterruption(child) {
  let caught;
  const handle = (signal) => {
    caught = signal;
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, handle);
  return {
    signal: () => caught,
    end() {
      for (const signal of signals) process.removeListener(signal, handle);
    },
  };
}
