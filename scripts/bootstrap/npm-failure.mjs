// Turns what npm printed when it failed into one sentence that says what to do, and an exit code. Pure.
import { exitCodes } from './bootstrap-fault.mjs';

const network = [
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ERR_SOCKET_TIMEOUT',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
  'FETCH_ERROR',
  'ENETWORK',
  'ENOTCACHED',
];
const permission = ['EACCES', 'EPERM', 'EROFS'];
const disk = ['ENOSPC', 'EDQUOT'];

/** @returns {{ message: string, exitCode: number }} */
export function explainNpmFailure(output, root) {
  const code = /npm (?:error|ERR!) code (\S+)/.exec(output)?.[1] ?? '';
  const mentions = (codes) => codes.includes(code) || codes.some((name) => new RegExp(`\\b${name}\\b`).test(output));
  if (mentions(disk))
    return {
      message: `The disk is full: npm could not install into ${root}. Free some space and run the same command again.`,
      exitCode: exitCodes.ioFailure,
    };
  if (mentions(permission)) {
    return {
      message: `No permission to install into ${root}/node_modules. Make the folder writable for this user, or clone the repository to a place that is.`,
      exitCode: exitCodes.noPermission,
    };
  }
  if (mentions(network)) {
    return {
      message: "The package registry could not be reached. Check the network (and npm's proxy settings), then run the same command again.",
      exitCode: exitCodes.unavailable,
    };
  }
  if (code === 'EUSAGE') {
    return {
      message: 'package.json and package-lock.json do not agree. If you changed dependencies, run: npm install',
      exitCode: exitCodes.configuration,
    };
  }
  return { message: `npm ci failed${code ? ` (${code})` : ''}.`, exitCode: exitCodes.internal };
}

/**
 * Whether npm ci refused only because the lockfile does not list builds for other platforms that the registry in use cannot serve
 * (it names them without a version: "Missing: @swc/core-darwin-arm64@ from lock file"). They are optional, so npm install does without them.
 */
export function isOnlyMissingOtherPlatforms(output) {
  const complaints = output.match(/(?:Missing|Invalid): .*/g) ?? [];
  return complaints.length > 0 && complaints.every((line) => /^Missing: \S+[^@\s]@ from lock file$/.test(line.trim()));
}
