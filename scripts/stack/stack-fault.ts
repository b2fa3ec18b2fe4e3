// The error of everything below scripts/: a message for the person at the terminal, what to do about it, and the exit code.

/** Exit codes, after sysexits.h; bootstrap/bootstrap-fault.mjs uses the same numbers. */
export const exitCodes = {
  /** A command, option or argument that does not exist. */
  usage: 64,
  /** The state folder holds something we cannot use and will not touch. */
  corruptState: 65,
  /** Something outside is missing or taken: a port, the network, a server program. */
  unavailable: 69,
  /** A part failed for a reason of its own; its log says why. */
  failed: 70,
  /** The disk is full or broken. */
  ioFailure: 74,
  /** Another Millrace runs on this state folder. */
  alreadyRunning: 75,
  noPermission: 77,
  /** A variable has a value that cannot be used. */
  configuration: 78,
  /** Stopped by Ctrl-C before it was done (128 + SIGINT). */
  interrupted: 130,
} as const;

export type FaultKind = keyof typeof exitCodes;

/** Ends a command: `message` says what is wrong, each line of `advice` what to type or look at. */
export class StackFault extends Error {
  readonly kind: FaultKind;
  readonly advice: readonly string[];

  constructor(kind: FaultKind, message: string, options: { advice?: readonly string[]; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'StackFault';
    this.kind = kind;
    this.advice = options.advice ?? [];
  }

  get exitCode(): number {
    return exitCodes[this.kind];
  }
}

/** The system's error code (`ENOENT`, ...), or undefined for anything that is not a system error. */
export function errorCode(error: unknown): string | undefined {
  // Not `instanceof Error`: inside a test's realm the system's errors are not instances of its Error.
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

const permissionCodes = ['EACCES', 'EPERM', 'EROFS'];
const fullDiskCodes = ['ENOSPC', 'EDQUOT'];

/** Turns a file system error about `path` into a fault; any other error comes back as it is. */
export function fileFault(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (error instanceof StackFault || code === undefined) return error;
  if (permissionCodes.includes(code)) {
    return new StackFault('noPermission', `No permission to use ${path} (${code}).`, {
      advice: ['Make it readable and writable for this user, or choose another state folder: MILLRACE_HOME=/some/folder'],
      cause: error,
    });
  }
  if (fullDiskCodes.includes(code)) {
    return new StackFault('ioFailure', `The disk that holds ${path} is full (${code}).`, {
      advice: ['Free some space and start again; nothing was removed.'],
      cause: error,
    });
  }
  return new StackFault('corruptState', `${path} cannot be used (${code}).`, {
    advice: ['Nothing was changed. Move it away to start from empty, or choose another state folder: MILLRACE_HOME=/some/folder'],
    cause: error,
  });
}

/** Whether what a program printed says that the disk is full; PostgreSQL gives it as a hint only. */
export function mentionsFullDisk(output: string): boolean {
  return /No space left on device|Disk quota exceeded|Check free disk space/.test(output);
}
