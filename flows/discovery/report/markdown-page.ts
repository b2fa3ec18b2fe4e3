// The report as a page for people: summary, findings, tables, what was cleaned, how columns were understood.
import type { Finding } from '../debt/findings-collector.ts';
import type { Tally } from '../tally.ts';
import { escapeMarkdown, markdownTable } from './markdown-text.ts';
import type { ReportDocument } from './report-document.ts';

const ROWS_MAX = 15;
const FINDING_ROWS_MAX = 20;

export function renderMarkdown(document: ReportDocument): string {
  const sections = [
    [
      `# Software inventory: what there is and what needs attention`,
      `As of ${document.asOf}. Dataset ${escapeMarkdown(document.mapping.dataset)}, import ${document.importId}.`,
    ],
    ['## Summary', document.summary.map((line) => `- ${escapeMarkdown(line)}`).join('\n')],
    findingsSection(document),
    ...document.debt.findings.map(findingSection),
    inventorySection(document),
    dependenciesSection(document),
    cleansingSection(document),
    mappingSection(document),
  ];
  return `${sections.flat().join('\n\n')}\n`;
}

function findingsSection({ debt }: ReportDocument): string[] {
  if (debt.findings.length === 0) return ['## Findings', 'Nothing that needs attention was found.'];
  const rows = debt.findings.map((finding) => [finding.severity, finding.title, `${finding.count} ${finding.unit}`]);
  return ['## Findings', markdownTable(['Severity', 'What', 'How many'], rows)];
}

function findingSection(finding: Finding): string[] {
  const rows = finding.packages.slice(0, FINDING_ROWS_MAX).map((entry) => [entry.package, entry.detail ?? '']);
  const left = finding.count - rows.length;
  const headings = ['Package', 'Detail'];
  return [
    `### ${escapeMarkdown(finding.title)} (${finding.severity})`,
    `${escapeMarkdown(finding.why)} ${finding.count} ${escapeMarkdown(finding.unit)}.`,
    markdownTable(headings, rows),
    ...(left > 0 ? [`… and ${left} more.`] : []),
  ];
}

function inventorySection({ inventory }: ReportDocument): string[] {
  const basis = {
    column: 'The inventory says what is direct.',
    inferred: 'Nothing says what is direct: what no other item depends on is taken for it.',
    none: 'Nothing says what is direct.',
  };
  return [
    '## Inventory',
    markdownTable(['Use', 'Items'], presentCounts(inventory.byUse)),
    markdownTable(['Reach', 'Items'], presentCounts(inventory.byReach)),
    basis[inventory.reachBasis],
    ...tallyTable('Category', inventory.byCategory),
    ...tallyTable('Licence', inventory.byLicense),
    ...tallyTable('Scope or vendor', inventory.byOrigin),
    ...(inventory.byOwner.distinct > 0 ? tallyTable('Owner', inventory.byOwner) : []),
  ];
}

function presentCounts(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).filter(([, count]) => count > 0);
}

function tallyTable(heading: string, tally: Tally): string[] {
  const rows = tally.top.slice(0, ROWS_MAX).map(({ key, count, examples }) => [key, count, examples.slice(0, 3).join(', ')]);
  const left = tally.distinct - rows.length;
  return [markdownTable([heading, 'Items', 'For example'], rows), ...(left > 0 ? [`… and ${left} more.`] : [])];
}

function dependenciesSection({ dependencies }: ReportDocument): string[] {
  const { basis, nodes, edges, unresolved, longestChain, byDistance, cycles, mostDependedUpon, orphans } = dependencies;
  const how = basis === 'path' ? "by path, in Node's own way" : 'by name';
  return [
    '## Dependencies',
    `${nodes} packages, ${edges.required} required and ${edges.optional} optional dependencies between them, found ${how}; ${edges.peer} peer dependencies are met.`,
    `Not in the inventory: ${unresolved.required} required, ${unresolved.optional} optional (which is allowed) and ${unresolved.peer} peer dependencies. ` +
      `Circles: ${cycles.count}, with ${cycles.packages} packages. On which nothing depends: ${orphans.count}.`,
    `Longest chain (${longestChain.length}): ${longestChain.packages.map(escapeMarkdown).join(' → ')}`,
    ...(mostDependedUpon.length === 0
      ? []
      : [
          markdownTable(
            ['Most depended upon', 'Dependents'],
            mostDependedUpon.map((entry) => [entry.package, entry.dependents]),
          ),
        ]),
    markdownTable(
      ['Steps from the project', 'Packages'],
      byDistance.map(({ distance, count }) => [distance === null ? 'not reached' : String(distance), count]),
    ),
  ];
}

function cleansingSection({ cleansing }: ReportDocument): string[] {
  if (cleansing.fixes.length === 0) return ['## Cleansing', 'Every value was right as it stood.'];
  const rows = cleansing.fixes.map(({ kind, field, outcome, count, examples }) => [
    outcome,
    kind,
    field,
    count,
    examples.slice(0, 2).map(showExample).join('; '),
  ]);
  return [
    '## Cleansing',
    `${cleansing.valuesFixed} values fixed, ${cleansing.valuesFlagged} flagged, ${cleansing.rowsWithoutName} rows without a name left out, ${cleansing.repeatedRows} repeated rows.`,
    markdownTable(['Outcome', 'Kind', 'Field', 'Values', 'For example'], rows.slice(0, ROWS_MAX * 2)),
  ];
}

function showExample({ before, after }: { before: string; after: string | null }): string {
  return after === null ? `"${before}"` : `"${before}" → "${after}"`;
}

function mappingSection({ mapping }: ReportDocument): string[] {
  const rows = mapping.fields.map(({ column, field, confidence, evidence }) => [
    column,
    field,
    `${Math.round(confidence * 100)} %`,
    evidence.join('; '),
  ]);
  const unmapped =
    mapping.unmapped.length === 0 ? 'Every column was understood.' : `Not used: ${mapping.unmapped.map(escapeMarkdown).join(', ')}.`;
  return ['## How the columns were understood', markdownTable(['Column', 'Field', 'Confidence', 'Evidence'], rows), unmapped];
}
