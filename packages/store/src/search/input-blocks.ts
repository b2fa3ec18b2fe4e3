// Where in a workspace's flows an input may be found.
import type { Queryable } from '../database.ts';
import type { FlowFilter } from './flow-filter.ts';
import type { IdRange } from './flow-paths.ts';

export async function inputRanges(_on: Queryable, _filter: FlowFilter, within: IdRange): Promise<IdRange[]> {
  return [within];
}
