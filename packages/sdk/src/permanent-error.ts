// A failure that trying again cannot mend.

/** Throw it from a handler: the phase fails at once, whatever attempts are left. */
export class PermanentError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'PermanentError';
  }
}

/** By name, so that it is recognised also when two copies of this package are loaded or it comes from another realm. */
export function isPermanentError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'PermanentError';
}
