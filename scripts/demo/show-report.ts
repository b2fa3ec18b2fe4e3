// Writes the Markdown report to a file and prints what matters of it.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { reportOutputSchema } from '../../flows/discovery/report/report-phase.ts';
import type { StepReporter } from '../terminal/step-reporter.ts';
import { fileFault } from '../stack/stack-fault.ts';
import { DemoError } from './demo-error.ts';
import type { FlowResult } from './run-discovery.ts';
import type { ImportResult } from './import-inventory.ts';

const FINDINGS_SHOWN = 8;
const PACKAGES_SHOWN = 3;
const SEVERITY_WIDTH = 7;
const TEXT_WIDTH = 76;

type ReportOptions = { reporter: StepReporter; imported: ImportResult; flow: FlowResult; folder: string };

/** @throws DemoError when the flow's report is not in the form this demonstration knows; StackFault when the file cannot be written. */
export async function showReport({ reporter, imported, flow, folder }: ReportOptions): Promise<void> {
  const parsed = reportOutputSchema.safeParse(flow.report);
  if (!parsed.success) throw new DemoError('failed', `The report of flow ${flow.flowId} has an unknown form.`, { cause: parsed.error });
  const { json, markdown } = parsed.data;
  const path = await writeReport(folder, `discovery-${flow.flowId}.md`, markdown);
  const print = (text = '') => reporter.plain(text === '' ? '' : `  ${text}`);
  print();
  print(`Rows imported   ${imported.rowsImported} (${imported.rowsRejected} rejected)`);
  print(
    `Phases run      ${flow.phases.map(({ name, durationMs }) => (durationMs === null ? name : `${name} ${durationMs} ms`)).join(', ')}`,
  );
  print();
  for (const line of json.summary) print(line);
  print();
  const findings = json.debt.findings.slice(0, FINDINGS_SHOWN);
  for (const { severity, title, count, unit, packages } of findings) {
    print(`${severity.padEnd(SEVERITY_WIDTH)} ${title}: ${count} ${unit}`);
    print(`${' '.repeat(SEVERITY_WIDTH)} ${shorten(packages.slice(0, PACKAGES_SHOWN).map(describe).join('; '))}`);
  }
  if (json.debt.findings.length > findings.length) print(`… and ${json.debt.findings.length - findings.length} more findings.`);
  print();
  print(`Whole report    ${path}`);
}

async function writeReport(folder: string, name: string, markdown: string): Promise<string> {
  const path = join(folder, name);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(path, markdown);
  } catch (error) {
    throw fileFault(error, path);
  }
  return path;
}

function describe({ package: name, detail }: { package: string; detail: string | null }): string {
  return detail === null ? name : `${name} (${detail})`;
}

// Names and notices come from a file of somebody else: control characters must not reach the terminal.
function shorten(text: string): string {
  const plain = text.replaceAll(/\p{Cc}+/gu, ' ');
  return plain.length > TEXT_WIDTH ? `${plain.slice(0, TEXT_WIDTH)}…` : plain;
}
