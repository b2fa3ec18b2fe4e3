// A fault the user can act on: one message and an exit code, no stack. The codes are those of sysexits.h and the same as in stack/stack-fault.ts.

export const exitCodes = { unavailable: 69, internal: 70, ioFailure: 74, noPermission: 77, configuration: 78, interrupted: 130 };

export class BootstrapFault extends Error {
  constructor(message, exitCode) {
    super(message);
    this.name = 'BootstrapFault';
    this.exitCode = exitCode;
  }
}
