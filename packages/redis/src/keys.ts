// Every name that Millrace uses in Redis, with its meaning. All begin with the hash tag, so that one script may touch several of them
// and a cluster keeps them together; all carry the workspace but the process-wide channels.

export type Keys = {
  /** Hash: phase name -> JSON of its latest progress. Kept 24 h after the last report. */
  progressState(workspace: string, flowId: string): string;
  /** Channel: each progress report of a flow, throttled at the source. */
  progressChannel(workspace: string, flowId: string): string;
  /** Channel: events of a flow or import, published after their commit. A doorbell: the events table is the truth. */
  updates(workspace: string, subjectId: string): string;
  /** String: the token of who holds the resource, with a time to live. */
  lock(workspace: string, resource: string): string;
  /** Hash: the last millisecond of a slot -> requests counted in it. Of an API key, in its workspace. */
  keyRequests(workspace: string, keyId: string): string;
  /** The same for an address that calls without a key. */
  addressRequests(address: string): string;
  /** String: the worker that works on a phase. Phase ids are unique over all workspaces, and a delivery knows nothing but the id. */
  phaseLock(phaseId: string): string;
  /** Channel: requests to running handlers in all worker processes, such as cancel. */
  control(): string;
  /** Prefix of BullMQ's own keys. */
  queuePrefix(): string;
};

/** @param prefix a hash tag such as `{millrace}` */
export function createKeys(prefix: string): Keys {
  const scoped = (workspace: string, name: string) => `${prefix}:${workspace}:${name}`;
  return {
    progressState: (workspace, flowId) => scoped(workspace, `agent:state:${flowId}`),
    progressChannel: (workspace, flowId) => scoped(workspace, `agent:progress:${flowId}`),
    updates: (workspace, subjectId) => scoped(workspace, `flow:updates:${subjectId}`),
    lock: (workspace, resource) => scoped(workspace, `lock:${resource}`),
    keyRequests: (workspace, keyId) => scoped(workspace, `rate_limit:key:${keyId}`),
    addressRequests: (address) => `${prefix}:rate_limit:address:${address}`,
    phaseLock: (phaseId) => `${prefix}:lock:phase:${phaseId}`,
    control: () => `${prefix}:control`,
    queuePrefix: () => `${prefix}:queue`,
  };
}
