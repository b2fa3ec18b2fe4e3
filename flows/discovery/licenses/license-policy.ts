// What each licence asks of those who use the software, as far as a team has to act on it. A first sorting, no legal advice.
import { parseLicense } from './clean-license.ts';

/** From the one that needs nothing to the one that needs a decision. Their order is the order of the verdicts. */
const LICENSE_VERDICTS = ['fine', 'note', 'review', 'restricted'] as const;

type LicenseVerdict = (typeof LICENSE_VERDICTS)[number];

type LicenseJudgement = { verdict: LicenseVerdict; reason: string };

type PolicyRow = { verdict: LicenseVerdict; reason: string; ids: RegExp };

/** Judged by SPDX id, first row that fits. */
const LICENSE_POLICY: readonly PolicyRow[] = [
  {
    verdict: 'fine',
    reason: 'permissive: keep the notice',
    ids: /^(?:MIT|MIT-0|MIT-CMU|MITNFA|ISC|Apache-2\.0|Apache-1\.1|BSD-[123]-Clause(?:-.*)?|0BSD|BlueOak-1\.0\.0|Zlib|zlib-acknowledgement|X11|NCSA|UPL-1\.0|PostgreSQL|BSL-1\.0|Python-2\.0|PSF-2\.0|AFL-\d\.\d|Artistic-2\.0|Unicode-(?:DFS-2016|3\.0)|OpenSSL|W3C(?:-.*)?|curl|libpng-2\.0|MS-PL|HPND)$/,
  },
  { verdict: 'fine', reason: 'public domain or as good as', ids: /^(?:CC0-1\.0|Unlicense|WTFPL|PDDL-1\.0)$/ },
  { verdict: 'note', reason: 'made for content, asks for attribution', ids: /^(?:CC-BY-\d\.\d|OFL-1\.[01]|ODC-By-1\.0)$/ },
  {
    verdict: 'note',
    reason: 'weak copyleft: changes to its own files stay under it',
    ids: /^(?:MPL-[12]\.[01]|EPL-[12]\.0|CDDL-1\.[01]|LGPL-.*|EUPL-1\.\d|MS-RL|CPL-1\.0)$/,
  },
  {
    verdict: 'restricted',
    reason: 'network copyleft: offering it over a network obliges to publish source',
    ids: /^(?:AGPL-.*|SSPL-1\.0|OSL-3\.0)$/,
  },
  {
    verdict: 'restricted',
    reason: 'strong copyleft: what is distributed with it comes under it',
    ids: /^(?:GPL-.*|CC-BY-SA-\d\.\d|CECILL-2\.[01])$/,
  },
  {
    verdict: 'restricted',
    reason: 'not for every use: commercial, production or competing use may be excluded',
    ids: /^(?:BUSL-1\.1|Elastic-2\.0|CC-BY-NC(?:-.*)?|CC-BY-ND(?:-.*)?|PolyForm-.*|Hippocratic-.*|JSON)$/,
  },
];

const UNCOMMON: LicenseJudgement = { verdict: 'review', reason: 'rare: known to SPDX, but not to this policy' };

/** Judges an SPDX expression: of a choice (OR) the best counts, of a conjunction (AND) the worst. */
export function judgeLicense(expression: string): LicenseJudgement {
  const tree = parseLicense(expression);
  return tree === undefined ? { verdict: 'review', reason: 'the text names no licence known to SPDX' } : judgeTree(tree);
}

function judgeTree(tree: NonNullable<ReturnType<typeof parseLicense>>): LicenseJudgement {
  if ('conjunction' in tree) {
    const [left, right] = [judgeTree(tree.left), judgeTree(tree.right)];
    const leftIsMilder = LICENSE_VERDICTS.indexOf(left.verdict) <= LICENSE_VERDICTS.indexOf(right.verdict);
    return (tree.conjunction === 'or') === leftIsMilder ? left : right;
  }
  const row = LICENSE_POLICY.find(({ ids }) => ids.test(tree.license)) ?? UNCOMMON;
  // An exception such as Classpath or GCC takes the sting out of copyleft, but somebody has to read which one it is.
  if (tree.exception !== undefined && row.verdict === 'restricted')
    return { verdict: 'review', reason: `${row.reason}; with the exception ${tree.exception}` };
  return { verdict: row.verdict, reason: row.reason };
}
