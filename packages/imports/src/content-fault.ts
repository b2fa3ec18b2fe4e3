// A fault of uploaded content as a whole, on its way to the place that decides who is told: the client at once, or the import's readers.
import type { FileFault } from '@millrace/tabular';

export class ContentFault extends Error {
  readonly fault: FileFault;

  constructor(fault: FileFault) {
    super(fault.message);
    this.name = 'ContentFault';
    this.fault = fault;
  }
}
