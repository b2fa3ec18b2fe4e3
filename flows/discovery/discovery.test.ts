import { describe, expect, it } from '@jest/globals';
import { planPhases } from '@millrace/sdk';
import { cleansingOutputSchema } from './cleansing/cleansing-phase.ts';
import discovery from './index.ts';
import { reportOutputSchema } from './report/report-phase.ts';
import { runPhases, type TestRow } from './testing/run-phases.ts';

const IMPORT_ID = '019f0000-0000-7000-8000-000000000000';

const APPLICATIONS: readonly TestRow[] = [
  {
    'Application Name': 'Apache  Tomcat',
    Vendor: 'Apache',
    'Ver.': 'v9.0.65',
    Licence: 'Apache 2.0',
    'EOL Date': '12/31/2024',
    'Depends On': 'Java SE',
    Team: 'Web',
  },
  {
    'Application Name': 'Java SE',
    Vendor: 'Oracle',
    'Ver.': '11.0.2',
    Licence: 'Proprietary',
    'EOL Date': '02/03/2027',
    'Depends On': '',
    Team: 'Web',
  },
  {
    'Application Name': 'Java SE',
    Vendor: 'ORACLE',
    'Ver.': '17.0.1',
    Licence: 'GPL-2.0',
    'EOL Date': '09/30/2029',
    'Depends On': null,
    Team: 'n/a',
  },
  {
    'Application Name': 'Shop|Web',
    Vendor: 'Oracle',
    'Ver.': '',
    Licence: null,
    'EOL Date': null,
    'Depends On': 'Apache Tomcat; Payment Hub',
    Team: 'Web',
  },
  { 'Application Name': '  ', Vendor: 'Nobody', 'Ver.': '1', Licence: 'MIT', 'EOL Date': null, 'Depends On': null, Team: null },
];

async function reportOf(rows: readonly TestRow[], input: Record<string, unknown> = {}) {
  const run = await runPhases({ definition: discovery, input: { importId: IMPORT_ID, ...input }, rows, batchSize: 2 });
  return { run, report: reportOutputSchema.parse(run.outputs['report']) };
}

describe('discovery', () => {
  it('has phases that fit together', () => {
    const plan = planPhases(discovery, { importId: IMPORT_ID });
    expect(plan.ok && plan.phases.map((phase) => phase.name)).toEqual([
      'mapping',
      'cleansing',
      'inventory',
      'dependencies',
      'debt',
      'report',
    ]);
  });

  it('tells a team what its applications need', async () => {
    const { report } = await reportOf(APPLICATIONS);
    const { json } = report;
    expect(json.asOf).toBe('2026-11-20');
    expect(json.cleansing).toMatchObject({
      rows: 5,
      items: 4,
      rowsWithoutName: 1,
      conventions: { ecosystem: 'application', vendorSpellings: { oracle: 'Oracle' } },
    });
    expect(json.inventory).toMatchObject({
      items: 4,
      distinctNames: 3,
      reachBasis: 'inferred',
      byReach: { own: 0, direct: 1, transitive: 3 },
    });
    expect(json.dependencies).toMatchObject({
      basis: 'name',
      edges: { required: 2 },
      longestChain: { length: 3, packages: ['Shop|Web', 'Apache Tomcat@9.0.65', 'Java SE@11.0.2'] },
    });
    expect(json.debt.findings.map(({ rule, severity, count }) => [rule, severity, count])).toEqual([
      ['license-restricted', 'high', 2],
      ['end-of-life', 'high', 1],
      ['end-of-life-soon', 'medium', 1],
      ['license-missing', 'medium', 1],
      ['several-major-versions', 'medium', 1],
      ['unresolved-dependencies', 'medium', 1],
    ]);
    expect(json.debt.findings.find(({ rule }) => rule === 'end-of-life')?.packages).toEqual([
      { package: 'Apache Tomcat@9.0.65', detail: 'since 2024-12-31' },
    ]);
    expect(json.debt.findings.find(({ rule }) => rule === 'end-of-life-soon')?.packages).toEqual([
      { package: 'Java SE@11.0.2', detail: 'on 2027-02-03' },
    ]);
  });

  it('counts every fix with its example: an ambiguous date is decided by its column', async () => {
    const { run } = await reportOf(APPLICATIONS);
    const { fixes, conventions } = cleansingOutputSchema.parse(run.outputs['cleansing']);
    expect(conventions.dateOrder.endOfLifeAt).toBe('mdy');
    const count = (kind: string) => fixes.filter((fix) => fix.kind === kind).map((fix) => [fix.field, fix.outcome, fix.count]);
    expect(count('date-reordered')).toEqual([['endOfLifeAt', 'fixed', 3]]);
    expect(count('license-spelling')).toEqual([['license', 'fixed', 2]]);
    expect(count('license-replaced-id')).toEqual([['license', 'fixed', 1]]);
    expect(count('vendor-spelling')).toEqual([['vendor', 'fixed', 1]]);
    expect(count('version-form')).toEqual([['version', 'fixed', 1]]);
    expect(count('name-missing')).toEqual([['name', 'flagged', 1]]);
    expect(fixes.find((fix) => fix.kind === 'version-form')?.examples).toEqual([{ before: 'v9.0.65', after: '9.0.65' }]);
  });

  it('writes a page whose tables stay whole', async () => {
    const { report } = await reportOf(APPLICATIONS);
    expect(report.markdown).toContain('# Software inventory');
    expect(report.markdown).toContain('Shop\\|Web');
    expect(report.markdown).toContain('| Application Name | name | 94 % |');
    const tables = report.markdown.split('\n\n').filter((block) => block.startsWith('|'));
    for (const table of tables) {
      const widths = table.split('\n').map((line) => line.replaceAll(/\\./g, '').split('|').length);
      expect(new Set(widths).size).toBe(1);
    }
  });

  it('judges by the given day and says the same every time', async () => {
    const first = await reportOf(APPLICATIONS, { asOf: '2024-01-01' });
    const second = await reportOf(APPLICATIONS, { asOf: '2024-01-01' });
    expect(first.report.json.debt.findings.map(({ rule }) => rule)).not.toContain('end-of-life');
    expect(second.report).toEqual(first.report);
  });

  it('works on a single column of names, and on no rows', async () => {
    const { report } = await reportOf([{ package: 'left-pad' }, { package: 'right-pad' }]);
    expect(report.json.inventory).toMatchObject({ items: 2, reachBasis: 'none', byUse: { unknown: 2 } });
    const empty = await runPhases({ definition: discovery, input: { importId: IMPORT_ID }, rows: [], columns: ['name'] });
    expect(reportOutputSchema.parse(empty.outputs['report']).json.inventory.items).toBe(0);
  });

  it('fails clearly when nothing can be a name', async () => {
    await expect(reportOf([{ colour: '#ffffff' }])).rejects.toThrow('No column of this import looks like the name');
  });

  it('reports progress that rises to the end of each phase and stops when the signal aborts', async () => {
    const { run } = await reportOf(APPLICATIONS);
    expect(run.progress.every((fraction) => fraction >= 0 && fraction <= 1)).toBe(true);
    expect(run.progress.filter((fraction) => fraction === 1).length).toBeGreaterThanOrEqual(3);
    const aborted = AbortSignal.abort(new Error('cancelled'));
    await expect(runPhases({ definition: discovery, input: { importId: IMPORT_ID }, rows: APPLICATIONS, signal: aborted })).rejects.toThrow(
      'cancelled',
    );
  });

  it('keeps every output far below 1 MiB, however many rows differ', async () => {
    const rows = Array.from({ length: 10_000 }, (_, index) => ({
      name: `package-${index}-${'n'.repeat(100)}`,
      version: `v${index}`,
      license: `Licence ${index} ${'l'.repeat(200)}`,
      dependencies: `package-${index + 1}-${'n'.repeat(100)}; gone-${index}@^${index}`,
      deprecated: `notice ${index} ${'d'.repeat(500)}`,
      vendor: `${index % 2 === 0 ? 'V' : 'v'}endor ${index >> 1} ${'v'.repeat(100)}`,
      owner: `owner ${index}`,
    }));
    const run = await runPhases({ definition: discovery, input: { importId: IMPORT_ID }, rows, batchSize: 1_000 });
    for (const output of Object.values(run.outputs)) expect(JSON.stringify(output).length).toBeLessThan(512 * 1_024);
  });
});
