// From a selection of dead phases as clients write it to one as the store takes it.
import type { DeadFilterBody } from '@millrace/shared';
import type { DeadFilter } from '@millrace/store';
import { storableInstants } from '../http/input/storable-instant.ts';

export type DeadRequest = { ids?: readonly string[] | undefined; filter?: DeadFilterBody | undefined };

export function deadFilterOf({ ids, filter = {} }: DeadRequest, workspace: string): DeadFilter {
  const { flow, phase, code } = filter;
  return {
    workspace,
    ...storableInstants(filter, ['failedAfter', 'failedBefore']),
    ...(ids === undefined ? {} : { incidents: ids.map((id) => id.toLowerCase()) }),
    ...(flow === undefined ? {} : { flow }),
    ...(phase === undefined ? {} : { phase }),
    ...(code === undefined ? {} : { code }),
  };
}
