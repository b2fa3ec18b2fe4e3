// ctx.imported: opens what an import brought in, for a phase of the same workspace.
import { PermanentError } from '@millrace/sdk';
import { openImported, type Database } from '@millrace/store';
import type { ContextDeps } from '../engine/context/create-context.ts';

/** What it makes throws PermanentError when there is no such import in the workspace, or when it has not completed. */
export function importedOpener(database: Database): ContextDeps['openImported'] {
  return async (target) => {
    const rows = await openImported(database, target);
    if (rows === undefined) throw new PermanentError(`there is no completed import ${target.importId}`);
    return rows;
  };
}
