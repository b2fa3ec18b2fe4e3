// What a search says about a flow's input, `customer.id:42`: a path and a value, turned into JSON that the input has to contain.

/** JSON texts; an input matches when it contains one of them, in the sense of PostgreSQL's `@>`. */
export type InputMatch = { ok: true; alternatives: string[] } | { ok: false; problem: string };

const TEXT_CHARS_MAX = 500;
const SEGMENTS_MAX = 16;
/** What JSON and PostgreSQL's numeric both take, with room for every number that makes sense. */
const NUMBER_PATTERN = /^-?(?:0|[1-9]\d{0,30})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?$/;
const ELEMENT = '[]';

/**
 * Reads `path:value`, split at the first colon. Segments of the path are separated by dots; `name[]` means any element of an array; a
 * backslash takes the meaning from a dot, a colon or a backslash. A value that is a JSON number, `true`, `false` or `null` matches that and
 * the text of the same characters; in double quotes it matches only the text; anything else is text.
 */
export function parseInputMatch(text: string): InputMatch {
  if (text.length > TEXT_CHARS_MAX) return { ok: false, problem: `must have at most ${TEXT_CHARS_MAX} characters` };
  const read = readPath(text);
  if (read === undefined) return { ok: false, problem: 'must be path:value' };
  if (read.segments.length > SEGMENTS_MAX) return { ok: false, problem: `a path has at most ${SEGMENTS_MAX} segments` };
  if (read.segments.some((segment) => segment === '')) return { ok: false, problem: 'a segment of the path is empty' };
  return { ok: true, alternatives: valuesOf(read.value).map((value) => read.segments.reduceRight(wrap, value)) };
}

function readPath(text: string): { segments: string[]; value: string } | undefined {
  const segments = [''];
  const append = (part: string) => {
    segments[segments.length - 1] += part;
  };
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === ':') return { segments: segments.flatMap(withElements), value: text.slice(at + 1) };
    if (character === '.') segments.push('');
    else if (character === '\\' && /[.:\\]/.test(text.charAt(at + 1))) append(text.charAt((at += 1)));
    else append(character);
  }
  return undefined;
}

// `items[]` is the member `items` and then any element of it.
function withElements(segment: string): string[] {
  const name = segment.replace(/(?:\[\])+$/, '');
  const depth = (segment.length - name.length) / ELEMENT.length;
  return [...(name === '' && depth > 0 ? [] : [name]), ...Array.from({ length: depth }, () => ELEMENT)];
}

function valuesOf(value: string): string[] {
  if (/^".*"$/s.test(value) && value.length > 1) return [JSON.stringify(value.slice(1, -1))];
  const isScalar = NUMBER_PATTERN.test(value) || ['true', 'false', 'null'].includes(value);
  // The number as it is written: JavaScript's own would lose digits.
  return isScalar ? [value, JSON.stringify(value)] : [JSON.stringify(value)];
}

function wrap(inner: string, segment: string): string {
  return segment === ELEMENT ? `[${inner}]` : `{${JSON.stringify(segment)}:${inner}}`;
}
