// How alike two headers are. Pure text comparison: what the headers mean is not known here.

const JARO_WINKLER_PREFIX_MAX = 4;
const JARO_WINKLER_PREFIX_SCALE = 0.1;

/** Lower-case words of a header: camel case, punctuation and spaces divide, accents and umlauts are spelled plainly. */
export function headerWords(header: string): string[] {
  return header
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .replaceAll('ä', 'ae')
    .replaceAll('ö', 'oe')
    .replaceAll('ü', 'ue')
    .replaceAll('ß', 'ss')
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
}

/**
 * Jaro-Winkler similarity, 0..1, with the usual prefix weight of 0.1 over at most four characters
 * (Winkler 1990, "String Comparator Metrics and Enhanced Decision Rules in the Fellegi-Sunter Model of Record Linkage").
 */
export function jaroWinkler(left: string, right: string): number {
  const jaro = jaroSimilarity(left, right);
  let prefix = 0;
  while (prefix < JARO_WINKLER_PREFIX_MAX && prefix < left.length && left[prefix] === right[prefix]) prefix += 1;
  return jaro + prefix * JARO_WINKLER_PREFIX_SCALE * (1 - jaro);
}

function jaroSimilarity(left: string, right: string): number {
  if (left === right) return 1;
  if (left === '' || right === '') return 0;
  const reach = Math.max(0, Math.floor(Math.max(left.length, right.length) / 2) - 1);
  const taken = new Set<number>();
  const fromLeft: string[] = [];
  for (const [position, character] of left.split('').entries()) {
    const found = matchWithin({ text: right, character, from: position - reach, to: position + reach, taken });
    if (found === -1) continue;
    taken.add(found);
    fromLeft.push(character);
  }
  if (fromLeft.length === 0) return 0;
  const fromRight = [...taken].toSorted((a, b) => a - b).map((position) => right[position]);
  const swapped = fromLeft.filter((character, index) => character !== fromRight[index]).length / 2;
  const matches = fromLeft.length;
  return (matches / left.length + matches / right.length + (matches - swapped) / matches) / 3;
}

type MatchSearch = { text: string; character: string; from: number; to: number; taken: ReadonlySet<number> };

function matchWithin({ text, character, from, to, taken }: MatchSearch): number {
  for (let position = Math.max(0, from); position <= to && position < text.length; position += 1) {
    if (text[position] === character && !taken.has(position)) return position;
  }
  return -1;
}

/** Share of words that two headers have in common (Dice), 0..1. */
export function wordOverlap(left: readonly string[], right: readonly string[]): number {
  if (left.length === 0 || right.length === 0) return 0;
  const common = new Set(left.filter((word) => right.includes(word)));
  return (2 * common.size) / (new Set(left).size + new Set(right).size);
}
