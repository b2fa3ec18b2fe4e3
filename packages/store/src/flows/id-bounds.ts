// The range of ids that a statement touches. The big tables are partitioned by id, and `id = ANY(array)` alone lets no plan pass a partition over;
// a range does.
import { groupIdOf, lastMemberId } from '@millrace/shared';

/** The first and the last id that flows of these ids, or members of them, can have. */
export function idBounds(ids: readonly string[]): [from: string, to: string] {
  let [from, to] = ['ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000'];
  for (const id of ids) {
    if (id < from) from = id;
    if (id > to) to = id;
  }
  return [groupIdOf(from), lastMemberId(to)];
}
