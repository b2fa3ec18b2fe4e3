// From a filter as clients write it to one as the store takes it.
import { parseInputMatch, type FlowFilterBody } from '@millrace/shared';
import type { FlowFilter } from '@millrace/store';
import { storableInstants } from '../http/input/storable-instant.ts';

/** `statuses` is empty when no flow can match, because a tag has one value and two were asked for. */
export function storeFilterOf(given: FlowFilterBody): Omit<FlowFilter, 'workspace'> {
  const { status, flow, tag, input, error, q } = given;
  const tags = tag?.map((text) => [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)] as const);
  const isImpossible = tags?.some(([key, value]) => tags.some((other) => other[0] === key && other[1] !== value)) === true;
  const statuses = isImpossible ? [] : status;
  return {
    ...storableInstants(given, ['createdAfter', 'createdBefore', 'finishedAfter', 'finishedBefore']),
    ...(statuses === undefined ? {} : { statuses }),
    ...(flow === undefined ? {} : { flow }),
    ...(tags === undefined ? {} : { tags: Object.fromEntries(tags) }),
    ...(input === undefined ? {} : { inputs: input.map((text) => alternativesOf(text)) }),
    ...(error === undefined ? {} : { error }),
    ...(q === undefined ? {} : { q }),
  };
}

// The schema has refused what cannot be read.
function alternativesOf(text: string): string[] {
  const match = parseInputMatch(text);
  return match.ok ? match.alternatives : [];
}
