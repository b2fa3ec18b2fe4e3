// The dead phases that a replay or purge is about, and how far it has come in them.
import type { DeadPosition, DeadSelection, StoredOperation } from '@millrace/store';

export function selectionOf(operation: StoredOperation): { selection: DeadSelection; after: DeadPosition | null } {
  const { failedAfter, failedBefore } = operation.selection;
  return {
    selection: {
      workspace: operation.workspace,
      incidents: operation.incidents ?? [],
      ...(failedAfter === undefined ? {} : { failedAfter }),
      ...(failedBefore === undefined ? {} : { failedBefore }),
      until: operation.created_text,
    },
    after: operation.cursor !== null && 'incident' in operation.cursor ? operation.cursor : null,
  };
}
