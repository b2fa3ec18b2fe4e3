// What the debt assessment can find, how bad each is and why it matters. One line of a report's findings is one rule here.

export const SEVERITIES = ['high', 'medium', 'low', 'info'] as const;

export type Severity = (typeof SEVERITIES)[number];

type FindingRule = {
  severity: Severity;
  title: string;
  why: string;
  /** Words for one package and for several, as in "3 packages". */
  unit: readonly [string, string];
};

const PACKAGES = ['package', 'packages'] as const;
const NAMES = ['name', 'names'] as const;

export const FINDING_RULES = {
  'deprecated-direct': {
    severity: 'high',
    title: 'Deprecated, and used directly',
    why: 'Its authors have given it up or moved on; no fixes are to be expected, and replacing it is in your hands.',
    unit: PACKAGES,
  },
  'end-of-life': { severity: 'high', title: 'Past its end of life', why: 'Its vendor no longer repairs security faults.', unit: PACKAGES },
  'license-restricted': {
    severity: 'high',
    title: 'Licence with strong obligations or no grant of rights',
    why: 'Distributing it, or offering it over a network, may oblige you to publish your source, or may not be allowed at all.',
    unit: PACKAGES,
  },
  'deprecated-transitive': {
    severity: 'medium',
    title: 'Deprecated, and brought in by others',
    why: 'No fixes are to be expected; it goes away by updating or replacing what depends on it.',
    unit: PACKAGES,
  },
  'end-of-life-soon': {
    severity: 'medium',
    title: 'End of life within half a year',
    why: 'A replacement has to be planned now.',
    unit: PACKAGES,
  },
  'runtime-end-of-life': {
    severity: 'medium',
    title: 'Allows only versions of Node that are past their end of life',
    why: 'It either keeps you on a runtime without security fixes or runs on one that its authors do not claim to support.',
    unit: PACKAGES,
  },
  'runtime-too-new': {
    severity: 'medium',
    title: 'Asks for a newer Node than yours',
    why: 'It may fail to install or to run.',
    unit: PACKAGES,
  },
  'license-missing': {
    severity: 'medium',
    title: 'No licence stated',
    why: 'Without a licence nobody but its authors may use it.',
    unit: PACKAGES,
  },
  'license-unclear': {
    severity: 'medium',
    title: 'Licence that has to be read',
    why: 'The terms are in a file of the package, or are named in words that are no SPDX id.',
    unit: PACKAGES,
  },
  'license-review': {
    severity: 'medium',
    title: 'Rare licence or exception',
    why: 'No common policy covers it: somebody has to decide once.',
    unit: PACKAGES,
  },
  'license-restricted-development': {
    severity: 'low',
    title: 'Licence with strong obligations, in development only',
    why: 'It is not distributed with the product, which usually keeps its obligations away.',
    unit: PACKAGES,
  },
  'several-major-versions': {
    severity: 'medium',
    title: 'Several major versions of one thing',
    why: 'They behave differently, each has to be patched on its own, and size and start-up grow with each.',
    unit: NAMES,
  },
  'unresolved-dependencies': {
    severity: 'medium',
    title: 'Dependencies that are not in the inventory',
    why: 'The inventory is incomplete, or something is not installed that is needed.',
    unit: ['dependency', 'dependencies'],
  },
  'several-versions': {
    severity: 'low',
    title: 'Several versions of one thing within a major',
    why: 'One would do: usually an update of the lockfile removes the copies.',
    unit: NAMES,
  },
  'very-old-release': {
    severity: 'low',
    title: 'Released more than five years ago',
    why: 'It may be finished, or nobody may look after it any more.',
    unit: PACKAGES,
  },
  'version-not-fixed': {
    severity: 'low',
    title: 'A range instead of a version',
    why: 'It cannot be said what is really installed.',
    unit: PACKAGES,
  },
  cycles: {
    severity: 'low',
    title: 'Dependencies in a circle',
    why: 'None of them can be replaced or updated without the others.',
    unit: ['circle', 'circles'],
  },
  orphans: {
    severity: 'low',
    title: 'Nothing depends on it',
    why: 'It may be left over from earlier and could be removed.',
    unit: PACKAGES,
  },
  'license-note': {
    severity: 'info',
    title: 'Licence with mild obligations',
    why: 'Attribution, or source of changes to its own files: simple to keep, if somebody knows.',
    unit: PACKAGES,
  },
  'install-script': {
    severity: 'info',
    title: 'Runs a script when it is installed',
    why: 'It runs with your rights, on every machine that installs.',
    unit: PACKAGES,
  },
} as const satisfies Record<string, FindingRule>;

export type FindingRuleId = keyof typeof FINDING_RULES;
