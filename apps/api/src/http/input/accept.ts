// What a client says it can read (RFC 9110, section 12.5.1).
import { AppError } from '@millrace/shared';

type MediaRange = { type: string; quality: number };

const RANGE_PATTERN = /^(?:\*\/\*|[!#$%&'*+.^`|~\w-]+\/[!#$%&'*+.^`|~\w-]+)$/;

/** The ranges of an Accept header in lower case, with the quality of each (1 when it says none, 0 when that is no number). */
function mediaRanges(accept: string): MediaRange[] {
  return accept.split(',').flatMap((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (!RANGE_PATTERN.test(type)) return [];
    const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    return [{ type, quality: Number.isNaN(quality) ? 0 : quality }];
  });
}

/** The one of `types` that Accept names and prefers to application/json; undefined when there is none. Wildcards mean JSON: tools send them without thinking. */
export function preferredOverJson<Type extends string>(accept: string | undefined, types: readonly Type[]): Type | undefined {
  if (accept === undefined) return undefined;
  const qualities = new Map(mediaRanges(accept).map(({ type, quality }) => [type, quality]));
  const qualityFor = (type: string) => qualities.get(type) ?? 0;
  const [best] = types.toSorted((a, b) => qualityFor(b) - qualityFor(a));
  return best !== undefined && qualityFor(best) > 0 && qualityFor(best) >= qualityFor('application/json') ? best : undefined;
}

/**
 * Whoever asks for problems only is taken at half his word: he gets JSON too. A header without one well-formed range says nothing.
 * @param types what the route can answer with; none: it answers without content
 * @throws AppError not-acceptable when Accept rules out every one of them
 */
export function requireAcceptable(accept: string, types: readonly string[]): void {
  if (types.length === 0) return;
  const ranges = mediaRanges(accept);
  if (ranges.length === 0 || types.some((type) => qualityOf(type, ranges) > 0)) return;
  if (types.includes('application/json') && ranges.some(({ type, quality }) => type === 'application/problem+json' && quality > 0)) return;
  throw new AppError('not-acceptable', { detail: `This is answered with ${types.join(' or ')}.` });
}

// The most specific range that fits decides.
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  const group = `${type.slice(0, type.indexOf('/'))}/*`;
  for (const range of [type, group, '*/*']) {
    const fitting = ranges.filter((one) => one.type === range);
    if (fitting.length > 0) return Math.max(...fitting.map((one) => one.quality));
  }
  return 0;
}
