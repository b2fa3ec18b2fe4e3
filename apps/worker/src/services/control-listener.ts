// Hears from any process what running handlers must do, such as stop, and that something waits. Best effort: a cancel that is not heard takes
// effect at the next renewal of the lease, and what waits is found by those who look for it. That a cancel was heard, and what came of it, is
// told by the receipts of the running phases.
import type { Logger, Service } from '@millrace/process';
import type { ControlMessage, Keys, Subscriptions } from '@millrace/redis';
import type { RunningPhases } from '../engine/running-phases.ts';

export type ControlListenerDeps = {
  subscriptions: Subscriptions;
  keys: Keys;
  running: RunningPhases;
  /** Something waits for admission, in the backlog, or for code. */
  onWaiting(what: 'admissions' | 'backlog' | 'code'): void;
  log: Logger;
};

export function createControlListener(deps: ControlListenerDeps): Service {
  const hear = (text: string) => {
    const message = parse(text);
    if (message === undefined) return;
    if (message.type !== 'cancel') {
      deps.onWaiting(message.type);
      return;
    }
    const count = deps.running.stopFlow(message.flowId, 'cancelled');
    if (count > 0) deps.log.info({ flowId: message.flowId, count }, 'running phases were told to stop');
  };
  return {
    name: 'control-listener',
    start: async () => {
      await deps.subscriptions.add(deps.keys.control(), hear);
    },
    stop: () => {
      deps.subscriptions.remove(deps.keys.control(), hear);
      return Promise.resolve();
    },
  };
}

// Whoever can write to Redis can send anything here.
function parse(text: string): ControlMessage | undefined {
  try {
    const message: unknown = JSON.parse(text);
    if (message === null || typeof message !== 'object' || !('type' in message)) return undefined;
    if (message.type === 'admissions' || message.type === 'backlog' || message.type === 'code') return { type: message.type };
    if (message.type !== 'cancel' || !('flowId' in message) || typeof message.flowId !== 'string') return undefined;
    return { type: 'cancel', flowId: message.flowId };
  } catch {
    return undefined;
  }
}
