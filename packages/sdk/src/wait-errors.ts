// What ctx.waitFor and ctx.start throw when it does not end well. Handlers may catch them; uncaught they fail the phase for good.
import { PermanentError } from './permanent-error.ts';

/** The signal did not come in time. */
export class SignalTimeout extends PermanentError {
  readonly code = 'signal-timeout';
  constructor(signal: string) {
    super(`the signal "${signal}" did not come in time`);
  }
}

/** A child flow failed or was cancelled. */
export class ChildFlowFailed extends PermanentError {
  readonly code = 'child-failed';
  readonly flowId: string;
  constructor(flow: string, flowId: string, status: string) {
    super(`the child flow ${flow} ${status === 'cancelled' ? 'was cancelled' : 'failed'}`);
    this.flowId = flowId;
  }
}
