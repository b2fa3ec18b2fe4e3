// Looks at a PostgreSQL data folder before it is started: is it one, and of our version? Never changes anything.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, fileFault, StackFault } from '../stack-fault.ts';
import type { StateFolder } from '../state/state-folder.ts';

/** Throws a StackFault `corruptState` that says what is wrong and that nothing was changed. */
export function checkCluster(folder: StateFolder, wantedMajor: number): void {
  const found = readVersion(folder.postgres);
  if (found === undefined || !/^\d+(\.\d+)?$/.test(found)) {
    throw new StackFault('corruptState', `${folder.postgres} is not a PostgreSQL data folder (no readable PG_VERSION in it).`, {
      advice: keepAdvice(folder),
    });
  }
  if (Number.parseInt(found, 10) !== wantedMajor) {
    throw new StackFault('corruptState', `${folder.postgres} was made by PostgreSQL ${found}; this is PostgreSQL ${wantedMajor}.`, {
      advice: [`Copy the data over with pg_dump of PostgreSQL ${found} and psql, or`, ...keepAdvice(folder)],
    });
  }
}

function readVersion(data: string): string | undefined {
  try {
    if (!statSync(data).isDirectory()) return undefined;
    return readFileSync(join(data, 'PG_VERSION'), 'utf8').trim();
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EISDIR') return undefined;
    throw fileFault(error, data);
  }
}

export function keepAdvice(folder: StateFolder): string[] {
  return [
    `Nothing was changed. To start from empty, move it away: mv ${folder.postgres} ${folder.postgres}.old`,
    'or choose another state folder: MILLRACE_HOME=/some/folder',
  ];
}
