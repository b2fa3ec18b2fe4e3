// The one error of the demonstration: something a person can act on.
import { StackFault, type FaultKind } from '../stack/stack-fault.ts';

export class DemoError extends StackFault {
  constructor(kind: FaultKind, message: string, options: { advice?: readonly string[]; cause?: unknown } = {}) {
    super(kind, message, options);
    this.name = 'DemoError';
  }
}
