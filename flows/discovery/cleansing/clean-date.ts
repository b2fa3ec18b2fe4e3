// Reads dates in the spellings of exports and writes them as ISO 8601. Never guesses: a date that could be two days is said to be so.

/** How a column writes 03/04/2024: day first, month first, or nobody knows. */
export type DateOrder = 'dmy' | 'mdy' | 'unknown';

type CleanDate = { value: string | null; kind: 'iso' | 'reordered' | 'named-month' | 'epoch' | 'ambiguous' | 'unreadable' };

const ISO_PATTERN = /^(\d{4})-(\d{2})-(\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
const YEAR_FIRST_PATTERN = /^(\d{4})[/.](\d{1,2})[/.](\d{1,2})$/;
const COMPACT_PATTERN = /^((?:19|20)\d{2})(\d{2})(\d{2})$/;
const DOTTED_PATTERN = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/;
const SLASHED_PATTERN = /^(\d{1,2})[/-](\d{1,2})[/-](\d{4})$/;
const DAY_MONTH_NAME_PATTERN = /^(\d{1,2})\.?[ -](\p{L}{3,9})\.?,?[ -](\d{4})$/u;
const MONTH_NAME_DAY_PATTERN = /^(\p{L}{3,9})\.? (\d{1,2}),? (\d{4})$/u;
const EPOCH_PATTERN = /^(\d{9,10}|\d{12,13})$/;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const GERMAN_MONTHS: Readonly<Record<string, number>> = { mär: 3, mae: 3, mai: 5, okt: 10, dez: 12 };

/** A dotted date is day first everywhere it is used; for a slashed one `order` decides unless one part is above 12. */
export function cleanDate(text: string, order: DateOrder): CleanDate {
  const iso = ISO_PATTERN.exec(text);
  if (iso) return dated('iso', [iso[1], iso[2], iso[3]]);
  const yearFirst = YEAR_FIRST_PATTERN.exec(text) ?? COMPACT_PATTERN.exec(text);
  if (yearFirst) return dated('reordered', [yearFirst[1], yearFirst[2], yearFirst[3]]);
  const dotted = DOTTED_PATTERN.exec(text);
  if (dotted) return dated('reordered', [dotted[3], dotted[2], dotted[1]]);
  const slashed = SLASHED_PATTERN.exec(text);
  if (slashed) return fromSlashed(slashed, order);
  return fromWordsOrEpoch(text);
}

/** What a slashed date says about its column: the order when one part is above 12, else nothing. */
export function slashedOrder(text: string): DateOrder {
  const slashed = SLASHED_PATTERN.exec(text);
  if (!slashed) return 'unknown';
  if (Number(slashed[1]) > 12) return 'dmy';
  return Number(slashed[2]) > 12 ? 'mdy' : 'unknown';
}

function fromSlashed(slashed: RegExpExecArray, order: DateOrder): CleanDate {
  const [first, second, year] = [slashed[1], slashed[2], slashed[3]];
  const own = slashedOrder(slashed[0]);
  const decided = own === 'unknown' ? order : own;
  if (first === second || decided === 'dmy') return dated('reordered', [year, second, first]);
  if (decided === 'mdy') return dated('reordered', [year, first, second]);
  return { value: null, kind: 'ambiguous' };
}

function fromWordsOrEpoch(text: string): CleanDate {
  const dayFirst = DAY_MONTH_NAME_PATTERN.exec(text);
  if (dayFirst) return dated('named-month', [dayFirst[3], monthNumber(dayFirst[2]), dayFirst[1]]);
  const monthFirst = MONTH_NAME_DAY_PATTERN.exec(text);
  if (monthFirst) return dated('named-month', [monthFirst[3], monthNumber(monthFirst[1]), monthFirst[2]]);
  if (!EPOCH_PATTERN.test(text)) return { value: null, kind: 'unreadable' };
  const instantMs = text.length <= 10 ? Number(text) * 1_000 : Number(text);
  return { value: new Date(instantMs).toISOString().slice(0, 10), kind: 'epoch' };
}

function monthNumber(name: string | undefined): string {
  const short = (name ?? '').toLowerCase().slice(0, 3);
  return String(GERMAN_MONTHS[short] ?? MONTHS.indexOf(short) + 1);
}

// The round trip through Date.UTC refuses 31 February and month 13.
function dated(kind: CleanDate['kind'], [year = '', month = '', day = '']: readonly (string | undefined)[]): CleanDate {
  const text = `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`;
  const instantMs = Date.UTC(Number(year), Number(month) - 1, Number(day));
  const exists = Number.isFinite(instantMs) && new Date(instantMs).toISOString().startsWith(text);
  return exists ? { value: text, kind } : { value: null, kind: 'unreadable' };
}
