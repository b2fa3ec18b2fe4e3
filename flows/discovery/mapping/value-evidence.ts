// What a column's values look like: the share of them that fits each canonical field. Headers are not looked at here.
import { cleanAddress } from '../cleansing/clean-address.ts';
import { cleanDate } from '../cleansing/clean-date.ts';
import { cleanFlag } from '../cleansing/clean-flag.ts';
import { cleanLicense } from '../licenses/clean-license.ts';
import { parseDependencyList } from '../dependencies/parse-dependency-list.ts';
import type { CanonicalField } from './canonical-fields.ts';

/** How many filled values of a column are looked at. */
export const SAMPLE_SIZE = 2_000;

const VERSION_PATTERN = /^[v=^~<> ]{0,3}\d+(?:\.(?:\d+|x|\*)){1,3}(?:[-+][\w.+-]+)?$/i;
const PATH_PATTERN = /^(?:[A-Za-z]:\\|\.{0,2}\/)?[\w@.()~ +-]+(?:[/\\][\w@.()~ +-]+)+\/?$/;
const URL_PATTERN = /^https?:\/\/\S+$/i;
const RUNTIME_PATTERN = /^(?:(?:\^|~|>=?|<=?|=|v)?\s*v?\d+(?:\.(?:\d+|x|\*))*\s*(?:\|\||-|\s)*\s*)+$/;
const NAME_PATTERN = /^@?[\p{L}\p{N}][\p{L}\p{N} ._()/+&'-]{0,213}$/u;

type ValueTest = { looksLike: string; fits: (value: string) => boolean };

/** Fields whose values can be told by their shape. The others are recognised by their header alone. */
const VALUE_TESTS: Readonly<Partial<Record<CanonicalField, ValueTest>>> = {
  name: { looksLike: 'names', fits: (value) => NAME_PATTERN.test(value) && !VERSION_PATTERN.test(value) && cleanFlag(value) === null },
  version: { looksLike: 'version numbers', fits: (value) => VERSION_PATTERN.test(value) },
  license: { looksLike: 'licences known to SPDX', fits: (value) => ['spdx', 'file', 'unlicensed'].includes(cleanLicense(value).kind) },
  path: { looksLike: 'paths', fits: (value) => PATH_PATTERN.test(value) },
  dependencies: { looksLike: 'lists of packages', fits: isDependencyList },
  optionalDependencies: { looksLike: 'lists of packages', fits: isDependencyList },
  peerDependencies: { looksLike: 'lists of packages', fits: isDependencyList },
  dev: { looksLike: 'yes or no', fits: isFlag },
  optional: { looksLike: 'yes or no', fits: isFlag },
  direct: { looksLike: 'yes or no', fits: isFlag },
  installScript: { looksLike: 'yes or no', fits: isFlag },
  runtime: { looksLike: 'version ranges', fits: (value) => value.startsWith('{') || RUNTIME_PATTERN.test(value) },
  releasedAt: { looksLike: 'dates', fits: isDate },
  endOfLifeAt: { looksLike: 'dates', fits: isDate },
  homepage: { looksLike: 'addresses', fits: (value) => URL_PATTERN.test(cleanAddress(value)) },
};

export type ColumnSample = { column: string; filled: number; values: readonly string[] };

/** `share` of the sampled values fit the field, 0..1; null when its values have no shape of their own or there are none. */
type ValueEvidence = { share: number | null; looksLike: string };

/** Judges a column's sample for one field. Equal values are judged once, so that long columns of flags cost nothing. */
export function valueEvidence(sample: ColumnSample, field: CanonicalField): ValueEvidence {
  const test = VALUE_TESTS[field];
  if (test === undefined || sample.values.length === 0) return { share: null, looksLike: test?.looksLike ?? '' };
  const verdicts = new Map<string, boolean>();
  let fitting = 0;
  for (const value of sample.values) {
    const verdict = verdicts.get(value) ?? test.fits(value.slice(0, 1_000));
    verdicts.set(value, verdict);
    if (verdict) fitting += 1;
  }
  return { share: fitting / sample.values.length, looksLike: test.looksLike };
}

function isFlag(value: string): boolean {
  return cleanFlag(value) !== null;
}

function isDate(value: string): boolean {
  return cleanDate(value, 'dmy').value !== null || cleanDate(value, 'mdy').value !== null;
}

function isDependencyList(value: string): boolean {
  if (URL_PATTERN.test(value) || isFlag(value) || VERSION_PATTERN.test(value)) return false;
  return parseDependencyList(value, 'required').length > 0;
}
