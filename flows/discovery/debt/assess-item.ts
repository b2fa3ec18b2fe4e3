// What is to be said about one item, seen alone. Rules that need the whole inventory are elsewhere.
import { useOf } from '../inventory/classify-item.ts';
import { judgeLicense } from '../licenses/license-policy.ts';
import { itemLabel, type SoftwareItem } from '../software-item.ts';
import type { FindingsCollector } from './findings-collector.ts';
import type { RuntimeJudge } from './node-releases.ts';

type Assessment = { asOf: string; judgeRuntime: RuntimeJudge; findings: Pick<FindingsCollector, 'add'> };

const SOON_DAYS = 183;
const OLD_YEARS = 5;
const DAY_MS = 86_400_000;

export function assessItem(item: SoftwareItem, assessment: Assessment): void {
  const label = itemLabel(item);
  const { findings } = assessment;
  if (item.deprecated !== null) findings.add(item.direct === true ? 'deprecated-direct' : 'deprecated-transitive', label, item.deprecated);
  if (item.installScript === true) findings.add('install-script', label);
  if (item.versionKind === 'range') findings.add('version-not-fixed', label);
  assessDates(item, label, assessment);
  if (item.own) return;
  assessRuntime(item, label, assessment);
  assessLicense(item, label, assessment);
}

function assessDates(item: SoftwareItem, label: string, { asOf, findings }: Assessment): void {
  const { endOfLifeAt, releasedAt } = item;
  if (endOfLifeAt !== null && endOfLifeAt < asOf) findings.add('end-of-life', label, `since ${endOfLifeAt}`);
  else if (endOfLifeAt !== null && endOfLifeAt <= shiftDays(asOf, SOON_DAYS)) findings.add('end-of-life-soon', label, `on ${endOfLifeAt}`);
  if (releasedAt !== null && releasedAt < shiftYears(asOf, -OLD_YEARS)) findings.add('very-old-release', label, `released ${releasedAt}`);
}

function assessRuntime(item: SoftwareItem, label: string, { judgeRuntime, findings }: Assessment): void {
  if (item.runtime === null) return;
  const { verdict, lines } = judgeRuntime(item.runtime);
  if (verdict === 'end-of-life')
    findings.add('runtime-end-of-life', label, `allows ${item.runtime}: of all lines only ${lines.join(', ')}`);
  if (verdict === 'too-new') findings.add('runtime-too-new', label, `asks for ${item.runtime}`);
}

function assessLicense(item: SoftwareItem, label: string, { findings }: Assessment): void {
  const { kind, value } = item.license;
  const restricted = useOf(item) === 'development' ? 'license-restricted-development' : 'license-restricted';
  if (kind === 'missing') findings.add('license-missing', label);
  else if (kind === 'unlicensed') findings.add(restricted, label, 'no rights are granted');
  else if (kind !== 'spdx' || value === null) findings.add('license-unclear', label, value ?? '');
  else {
    const { verdict, reason } = judgeLicense(value);
    if (verdict === 'restricted') findings.add(restricted, label, `${value}: ${reason}`);
    if (verdict === 'review') findings.add('license-review', label, `${value}: ${reason}`);
    if (verdict === 'note') findings.add('license-note', label, `${value}: ${reason}`);
  }
}

function shiftDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);
}

function shiftYears(date: string, years: number): string {
  return `${String(Number(date.slice(0, 4)) + years).padStart(4, '0')}${date.slice(4)}`;
}
