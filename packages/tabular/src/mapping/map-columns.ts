// Decides which source column fills which dataset column, before any row is read.
// Leaves suggestions with scores to a preview, and the rows to row-reader.ts, which follows the plan made here.

import { fileFault } from '../types.ts';
import type { ColumnSpec, FileFault } from '../types.ts';

export type UnknownColumnPolicy = 'fail' | 'ignore' | 'keep';

export interface MapColumnsInput {
  headerColumns: readonly string[];
  /** NDJSON: keys seen in later records (`FileIndex.sampledColumns`). */
  sampledColumns?: readonly string[];
  columns: readonly ColumnSpec[];
  /** Source column to dataset column; goes before names and aliases. Entries for columns the file lacks are ignored. */
  mapping?: Readonly<Record<string, string>>;
  onUnknownColumn: UnknownColumnPolicy;
  /** Without a header the columns are taken in order (`!dialect.header`). Default false. */
  isPositional?: boolean;
}

/** Plain data, so that it can be kept with the import. */
export interface ColumnPlan {
  /** For every dataset column the index of its source column, or null. */
  sources: (number | null)[];
  /** Source columns kept into `extra`. */
  extra: { name: string; index: number }[];
  /** How many cells a CSV record has; names of the source columns. */
  headerColumns: string[];
  /** Source names to dataset column indexes: exact ones from the mapping, folded ones from names and aliases. NDJSON keys go by these. */
  exactNames: [name: string, column: number][];
  foldedNames: [name: string, column: number][];
  onUnknownColumn: UnknownColumnPolicy;
}

export type MapColumnsResult = { ok: true; plan: ColumnPlan } | { ok: false; fault: FileFault };

/** Names are compared without regard to case, spaces, `_` and `-`. */
export function foldColumnName(name: string): string {
  return name
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\s_-]+/g, '');
}

const quoteNames = (names: readonly string[]) =>
  names
    .slice(0, 10)
    .map((name) => JSON.stringify(name.slice(0, 80)))
    .join(', ');

function mismatch(message: string): MapColumnsResult {
  return { ok: false, fault: fileFault('header-mismatch', message, 1) };
}

interface Names {
  exact: Map<string, number>;
  folded: Map<string, number>;
}

/** Names go before aliases, so that an alias never takes a column from its own name. */
function collectNames({ columns, mapping }: MapColumnsInput): Names | string {
  const indexOf = new Map(columns.map((column, index) => [column.name, index]));
  const exact = new Map<string, number>();
  for (const [source, target] of Object.entries(mapping ?? {})) {
    const index = indexOf.get(target);
    if (index === undefined) return `The mapping names ${quoteNames([target])}, which the dataset does not have.`;
    exact.set(source, index);
  }
  const folded = new Map<string, number>();
  const add = (name: string, index: number) => {
    const key = foldColumnName(name);
    if (!folded.has(key)) folded.set(key, index);
  };
  for (const [index, column] of columns.entries()) add(column.name, index);
  for (const [index, column] of columns.entries()) for (const alias of column.aliases ?? []) add(alias, index);
  return { exact, folded };
}

/** The dataset column a source name belongs to, or null. A column the mapping fills from elsewhere is not matched by name. */
export function createNameResolver(plan: Pick<ColumnPlan, 'exactNames' | 'foldedNames'>): (name: string) => number | null {
  const exact = new Map(plan.exactNames);
  const folded = new Map(plan.foldedNames);
  return (name) => exact.get(name) ?? folded.get(foldColumnName(name)) ?? null;
}

function faultOfCells(headerColumns: readonly string[]): string | null {
  const empty = headerColumns.flatMap((name, index) => (name.trim() === '' ? [index + 1] : []));
  if (empty.length > 0) return `Header cell ${empty.slice(0, 10).join(', ')} is empty.`;
  const seen = new Set<string>();
  const twice = headerColumns.filter((name) => seen.size === seen.add(name.trim()).size);
  return twice.length > 0 ? `The header names ${quoteNames(twice)} more than once.` : null;
}

function assign(input: MapColumnsInput, plan: ColumnPlan): string | null {
  const { headerColumns, columns, isPositional = false } = input;
  const resolve = createNameResolver(plan);
  const unknown: { name: string; index: number }[] = [];
  for (const [index, name] of headerColumns.entries()) {
    const byPosition = isPositional && index < columns.length && plan.exactNames.length === 0 ? index : null;
    const column = byPosition ?? resolve(name);
    if (column === null) {
      unknown.push({ name, index });
    } else {
      const taken = plan.sources[column];
      if (typeof taken === 'number')
        return `${quoteNames([headerColumns[taken] ?? '', name])} both belong to column ${quoteNames([columns[column]?.name ?? ''])}.`;
      plan.sources[column] = index;
    }
  }
  if (plan.onUnknownColumn === 'keep') plan.extra = unknown;
  const isRefused = plan.onUnknownColumn === 'fail' && unknown.length > 0;
  return isRefused ? `The dataset does not have ${quoteNames(unknown.map(({ name }) => name))}.` : null;
}

function faultOfCoverage(input: MapColumnsInput, plan: ColumnPlan): string | null {
  const resolve = createNameResolver(plan);
  const sampled = new Set((input.sampledColumns ?? []).map(resolve));
  const isMissing = (_column: ColumnSpec, index: number) => plan.sources[index] === null && !sampled.has(index);
  const missing = input.columns.filter((column, index) => column.required === true && isMissing(column, index));
  if (missing.length > 0) return `The file has no column for the required ${quoteNames(missing.map(({ name }) => name))}.`;
  return input.columns.every(isMissing) ? 'No column of the file belongs to the dataset.' : null;
}

/** Makes the plan, or says why the header does not fit. An NDJSON file without a readable object is left to its rows. */
export function mapColumns(input: MapColumnsInput): MapColumnsResult {
  const names = collectNames(input);
  if (typeof names === 'string') return mismatch(names);
  const { headerColumns } = input;
  const mappedHere = new Set(headerColumns.concat(input.sampledColumns ?? []).map((name) => names.exact.get(name)));
  const plan: ColumnPlan = {
    sources: input.columns.map(() => null),
    extra: [],
    headerColumns: [...headerColumns],
    exactNames: [...names.exact],
    foldedNames: [...names.folded].filter(([, column]) => !mappedHere.has(column)),
    onUnknownColumn: input.onUnknownColumn,
  };
  const isUnread = headerColumns.length === 0;
  const fault = faultOfCells(headerColumns) ?? assign(input, plan) ?? (isUnread ? null : faultOfCoverage(input, plan));
  return fault === null ? { ok: true, plan } : mismatch(fault);
}
