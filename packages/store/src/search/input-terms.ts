// What an input says, scalar by scalar, as numbers for a Bloom filter. Pure; kept filters and searches must agree on it for ever, so a change
// here needs the filters made anew.

/** Bits that a term sets. With ten bits per term in the filter, one look-up in a hundred is a false alarm. */
const PROBES = 5;
const BITS_PER_TERM = 10;
const BITS_MIN = 1_024;
const BITS_MAX = 2 ** 20;
/** Beyond it a filter would be too full to tell anything. */
const TERMS_MAX = BITS_MAX / BITS_PER_TERM;

/**
 * Texts that stand for `path = scalar`, one for each scalar in a JSON value. An input that contains a value in the sense of `@>` has all of
 * its terms. Elements of an array have the same path, whatever their position; numbers that are equal have the same term.
 */
export function termsOf(value: unknown): string[] {
  const terms: string[] = [];
  const visit = (part: unknown, path: string) => {
    if (Array.isArray(part)) for (const element of part) visit(element, `${path}\u0000[]`);
    else if (part !== null && typeof part === 'object')
      for (const [key, member] of Object.entries(part)) visit(member, `${path}\u0000.${key}`);
    else terms.push(`${path}\u0000=${JSON.stringify(part)}`);
  };
  visit(value, '');
  return terms;
}

/** Where a term sets its bits; to be taken modulo the number of bits. Unsigned 32-bit numbers. */
export function probesOf(term: string): number[] {
  const [first, second] = [fnv1a(term, 0x811c9dc5), fnv1a(term, 0x9747b28c) | 1];
  return Array.from({ length: PROBES }, (_, probe) => (first + Math.imul(probe, second)) >>> 0);
}

/** The filter of all terms of these values, with bits in the order of PostgreSQL's get_bit; null when there are too many. */
export function filterOf(values: Iterable<unknown>): Buffer | null {
  const terms = new Set<string>();
  for (const value of values) {
    for (const term of termsOf(value)) terms.add(term);
    if (terms.size > TERMS_MAX) return null;
  }
  const bits = Math.max(BITS_MIN, 2 ** Math.ceil(Math.log2(terms.size * BITS_PER_TERM + 1)));
  const filter = Buffer.alloc(Math.min(bits, BITS_MAX) / 8);
  for (const term of terms) {
    for (const probe of probesOf(term)) {
      const bit = probe % (filter.length * 8);
      filter[bit >> 3] = (filter[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
  }
  return filter;
}

// FNV-1a over UTF-16 code units, with a final mix so that its low bits depend on all of the text.
function fnv1a(text: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
