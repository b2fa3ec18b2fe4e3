// Makes one imported row a software item: every field goes through its rules, and every change is noted. Pure but for the notes.
import type { CanonicalField } from '../mapping/canonical-fields.ts';
import type { FieldMapping } from '../mapping/map-fields.ts';
import { cleanLicense } from '../licenses/clean-license.ts';
import { parseDependencyList, type DependencyKind, type DependencyRef } from '../dependencies/parse-dependency-list.ts';
import type { SoftwareItem } from '../software-item.ts';
import { cleanAddress } from './clean-address.ts';
import { cleanDate } from './clean-date.ts';
import { cleanFlag } from './clean-flag.ts';
import { cleanApplicationName, cleanPackageName } from './clean-name.ts';
import { cleanText, isPlaceholder } from './clean-text.ts';
import { cleanVersion, type CleanVersion } from './clean-version.ts';
import { vendorName, type Conventions } from './conventions.ts';
import type { FixNote } from './fix-ledger.ts';

export type RawRow = Readonly<Record<string, string | null>>;

type RowCleaner = (row: RawRow, position: number) => SoftwareItem | null;

type RowCleanerOptions = { fields: readonly FieldMapping[]; conventions: Conventions; note: (fix: FixNote) => void };

const INSTALLED_PATTERN = /(?:^|\/)node_modules\//;
const PLAIN_FLAG_PATTERN = /^(?:yes|no|true|false)$/i;
/** A list of dependencies keeps its line breaks: they separate. */
const KEEPS_LINES: ReadonlySet<CanonicalField> = new Set(['dependencies', 'optionalDependencies', 'peerDependencies']);
const DEPENDENCY_FIELDS: readonly [CanonicalField, DependencyKind][] = [
  ['dependencies', 'required'],
  ['optionalDependencies', 'optional'],
  ['peerDependencies', 'peer'],
];

/** The cleaner of one inventory. It answers null for a row without a name, which it notes. */
export function createRowCleaner({ fields, conventions, note }: RowCleanerOptions): RowCleaner {
  const columns = new Map(fields.map((mapping) => [mapping.field, mapping.column]));
  return (row, position) => {
    const cells = createCells(row, columns, note);
    const path = cleanPath(cells);
    const name = cleanItemName(cells, path, conventions);
    if (name.value === null) {
      note({ kind: 'name-missing', field: 'name', outcome: 'flagged', before: `row ${position}`, after: null });
      return null;
    }
    const version = cleanItemVersion(cells, name.version, conventions);
    return {
      row: position,
      name: name.value,
      version: version.value,
      versionKind: version.kind,
      license: cleanItemLicense(cells),
      path,
      own: conventions.ecosystem === 'npm' && path !== null && !INSTALLED_PATTERN.test(path),
      dependencies: DEPENDENCY_FIELDS.flatMap(([field, kind]) => cleanDependencies(cells, field, kind)),
      deprecated: cleanDeprecated(cells),
      dev: cleanFlagCell(cells, 'dev'),
      optional: cleanFlagCell(cells, 'optional'),
      direct: cleanFlagCell(cells, 'direct'),
      installScript: cleanFlagCell(cells, 'installScript'),
      runtime: cells.text('runtime'),
      releasedAt: cleanDateCell(cells, 'releasedAt', conventions),
      endOfLifeAt: cleanDateCell(cells, 'endOfLifeAt', conventions),
      homepage: cleanHomepage(cells),
      vendor: cleanVendor(cells, conventions),
      owner: cells.text('owner'),
      keywords: (cells.text('keywords') ?? '').split(/\s*[,;|]\s*/).filter((word) => word !== ''),
    };
  };
}

type Cells = {
  /** The cell without surplus spaces; null when it is empty or stands for nothing. */
  text(field: CanonicalField): string | null;
  changed(kind: string, field: CanonicalField, values: { before: string; after: string | null }): void;
  flagged(kind: string, field: CanonicalField, value: string): void;
};

function createCells(row: RawRow, columns: ReadonlyMap<CanonicalField, string>, note: (fix: FixNote) => void): Cells {
  const changed: Cells['changed'] = (kind, field, values) => {
    if (values.before !== values.after) note({ kind, field, outcome: 'fixed', ...values });
  };
  return {
    changed,
    flagged: (kind, field, value) => note({ kind, field, outcome: 'flagged', before: value, after: null }),
    text(field) {
      const column = columns.get(field);
      const raw = column === undefined ? null : (row[column] ?? null);
      if (raw === null || raw === '') return null;
      const text = KEEPS_LINES.has(field) ? raw.trim() : cleanText(raw);
      if (text !== raw) changed('spaces', field, { before: raw, after: text });
      if (!isPlaceholder(text)) return text === '' ? null : text;
      changed('placeholder', field, { before: text, after: null });
      return null;
    },
  };
}

function cleanPath(cells: Cells): string | null {
  const text = cells.text('path');
  if (text === null || !text.includes('\\')) return text;
  const path = text.replaceAll('\\', '/');
  cells.changed('path-separators', 'path', { before: text, after: path });
  return path;
}

function cleanItemName(cells: Cells, path: string | null, conventions: Conventions): { value: string | null; version: string | null } {
  const text = cells.text('name');
  if (text === null) return { value: null, version: null };
  const name = conventions.ecosystem === 'npm' ? cleanPackageName(text, path) : cleanApplicationName(text);
  cells.changed(name.version === null ? 'name-spelling' : 'name-with-version', 'name', { before: text, after: name.value });
  return name;
}

function cleanItemVersion(cells: Cells, fromName: string | null, conventions: Conventions): CleanVersion {
  const text = cells.text('version') ?? fromName ?? '';
  const version = cleanVersion(text, conventions.ecosystem === 'npm');
  if (version.kind === 'range') cells.flagged('version-range', 'version', text);
  if (version.kind === 'other') cells.flagged('version-unusual', 'version', text);
  if (version.kind === 'exact') cells.changed('version-form', 'version', { before: text, after: version.value });
  return version;
}

function cleanItemLicense(cells: Cells): SoftwareItem['license'] {
  const text = cells.text('license') ?? '';
  const { kind, value, fix } = cleanLicense(text);
  if (fix !== null) cells.changed(fix, 'license', { before: text, after: value });
  if (kind === 'unknown') cells.flagged('license-not-understood', 'license', text);
  return { kind, value };
}

function cleanDependencies(cells: Cells, field: CanonicalField, kind: DependencyKind): DependencyRef[] {
  const text = cells.text(field);
  return text === null ? [] : parseDependencyList(text, kind);
}

// Exports write the notice, or only yes and no.
function cleanDeprecated(cells: Cells): string | null {
  const text = cells.text('deprecated');
  const flag = text === null ? false : cleanFlag(text);
  if (flag === false) return null;
  return flag === true ? 'marked as deprecated' : text;
}

function cleanFlagCell(cells: Cells, field: CanonicalField): boolean | null {
  const text = cells.text(field);
  if (text === null) return null;
  const flag = cleanFlag(text);
  if (flag === null) cells.flagged('flag-not-understood', field, text);
  // Reading yes and no is no repair; "x", "ja" or "1" had to be interpreted.
  else if (!PLAIN_FLAG_PATTERN.test(text)) cells.changed('flag-form', field, { before: text, after: String(flag) });
  return flag;
}

function cleanDateCell(cells: Cells, field: 'releasedAt' | 'endOfLifeAt', conventions: Conventions): string | null {
  const text = cells.text(field);
  if (text === null) return null;
  const date = cleanDate(text, conventions.dateOrder[field]);
  if (date.value === null) cells.flagged(`date-${date.kind}`, field, text);
  else cells.changed(date.kind === 'iso' ? 'date-time-cut' : `date-${date.kind}`, field, { before: text, after: date.value });
  return date.value;
}

function cleanHomepage(cells: Cells): string | null {
  const text = cells.text('homepage');
  if (text === null) return null;
  const address = cleanAddress(text);
  cells.changed('address-form', 'homepage', { before: text, after: address });
  return address;
}

function cleanVendor(cells: Cells, conventions: Conventions): string | null {
  const text = cells.text('vendor');
  if (text === null) return null;
  const named = vendorName(text);
  cells.changed('vendor-contact', 'vendor', { before: text, after: named });
  const vendor = conventions.vendorSpellings[named.toLowerCase()] ?? named;
  cells.changed('vendor-spelling', 'vendor', { before: named, after: vendor });
  return vendor;
}
