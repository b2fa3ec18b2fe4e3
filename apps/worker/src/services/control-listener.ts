// Hears requests to running handlers, such as cancel, from any process. Best effort: a request that is not heard takes effect
// at the next renewal of the lease. That it was heard, and what came of it, is told by the receipts of the running phases.
import type { Logger, Service } from '@millrace/process';
import type { ControlMessage, Keys, Subscriptions } from '@millrace/redis';
import type { RunningPhases } from '../engine/running-phases.ts';

export function createControlListener(deps: { subscriptions: Subscriptions; keys: Keys; running: RunningPhases; log: Logger }): Service {
  const hear = (text: string) => {
    const message = parse(text);
    if (message === undefined) return;
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
    if (message === null || typeof message !== 'object' || !('type' in message) || !('flowId' in message)) return undefined;
    return message.type === 'cancel' && typeof message.flowId === 'string' ? { type: 'cancel', flowId: message.flowId } : undefined;
  } catch {
    return undefined;
  }
}
