// Checks the text of a json cell: strict JSON, at most 32 levels deep, nothing that jsonb cannot hold.
// The text itself goes to PostgreSQL as it stands.

import { createJsonScan, skipJsonSpace, skipJsonValue, startJsonScan } from './json-scan.ts';
import type { CellCheck } from './verdict.ts';
import { verdict } from './verdict.ts';

/** Makes the check of one column; it keeps a walk of its own. */
export function createJsonCheck(): CellCheck {
  const scan = createJsonScan();
  return (bytes, start, end) => {
    startJsonScan(scan, bytes, end);
    const next = skipJsonValue(scan, skipJsonSpace(bytes, start, end));
    if (next === -1) return scan.fault;
    return skipJsonSpace(bytes, next, end) === end ? scan.noted : verdict.json;
  };
}
