// What must be known about an inventory as a whole before one row can be cleaned: packages or applications, the order of its dates,
// the usual spelling of its vendors. Collected in one pass over the rows.
import { z } from 'zod';
import { cleanText } from './clean-text.ts';
import { slashedOrder, type DateOrder } from './clean-date.ts';

const DATE_FIELDS = ['releasedAt', 'endOfLifeAt'] as const;

const dateOrderSchema = z.enum(['dmy', 'mdy', 'unknown']);

export const conventionsSchema = z.object({
  /** `npm`: names, versions and paths follow npm's rules. `application`: names are for people. */
  ecosystem: z.enum(['npm', 'application']),
  dateOrder: z.object({ releasedAt: dateOrderSchema, endOfLifeAt: dateOrderSchema }),
  /** Lower-case spelling to the most frequent one, where there are several. */
  vendorSpellings: z.record(z.string(), z.string()),
});

export type Conventions = z.infer<typeof conventionsSchema>;

/** Raw cells by field, as far as they are mapped. */
type RawCells = (field: 'name' | 'path' | 'vendor' | (typeof DATE_FIELDS)[number]) => string | null;

type ConventionsCollector = { add(cells: RawCells): void; result(): Conventions };

const PACKAGE_NAME_PATTERN = /^(?:@[a-z0-9~-][\w.~-]*\/)?[a-z0-9~-][\w.~-]*$/i;
const NPM_SHARE_MIN = 0.8;
/** Vendors beyond these are not unified: a column with so many holds something else. */
const VENDORS_MAX = 20_000;
const SPELLINGS_MAX = 500;

export function createConventionsCollector(): ConventionsCollector {
  const names = { total: 0, packageLike: 0, installed: 0 };
  const orders = { releasedAt: new Set<DateOrder>(), endOfLifeAt: new Set<DateOrder>() };
  const vendors = new Map<string, Map<string, number>>();
  return {
    add(cells) {
      addName(names, cells('name'), cells('path'));
      for (const field of DATE_FIELDS) orders[field].add(slashedOrder(cleanText(cells(field) ?? '')));
      addVendor(vendors, vendorName(cleanText(cells('vendor') ?? '')));
    },
    result: () => ({
      ecosystem: isNpm(names) ? 'npm' : 'application',
      dateOrder: { releasedAt: agreedOrder(orders.releasedAt), endOfLifeAt: agreedOrder(orders.endOfLifeAt) },
      vendorSpellings: Object.fromEntries([...vendors].flatMap(usualSpelling).slice(0, SPELLINGS_MAX)),
    }),
  };
}

/** A vendor without what npm's authors add: `Jane Doe <jane@example.org> (https://example.org)` is Jane Doe. */
export function vendorName(text: string): string {
  const name = text
    .replace(/\s*<[^>]*>/, '')
    .replace(/\s*\(https?:[^)]*\)/, '')
    .trim();
  return name === '' ? text : name;
}

type NameCounts = { total: number; packageLike: number; installed: number };

function addName(counts: NameCounts, name: string | null, path: string | null): void {
  const text = (name ?? '').trim();
  if (text === '') return;
  counts.total += 1;
  if (PACKAGE_NAME_PATTERN.test(text)) counts.packageLike += 1;
  if (path !== null && path.includes('node_modules')) counts.installed += 1;
}

// A path inside node_modules is proof; without paths nearly all names have to look like package names, and applications often do not.
function isNpm(counts: NameCounts): boolean {
  if (counts.total === 0) return false;
  return counts.installed / counts.total >= 0.5 || counts.packageLike / counts.total >= NPM_SHARE_MIN;
}

// One date above 12 in a place decides for the column; two that disagree decide nothing.
function agreedOrder(seen: ReadonlySet<DateOrder>): DateOrder {
  if (seen.has('dmy') === seen.has('mdy')) return 'unknown';
  return seen.has('dmy') ? 'dmy' : 'mdy';
}

function addVendor(vendors: Map<string, Map<string, number>>, vendor: string): void {
  const key = vendor.toLowerCase();
  if (vendor === '' || (!vendors.has(key) && vendors.size >= VENDORS_MAX)) return;
  const spellings = vendors.get(key) ?? new Map<string, number>();
  vendors.set(key, spellings.set(vendor, (spellings.get(vendor) ?? 0) + 1));
}

function usualSpelling([key, spellings]: [string, Map<string, number>]): [string, string][] {
  if (spellings.size < 2) return [];
  const [usual] = [...spellings].toSorted(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  return usual === undefined ? [] : [[key, usual[0]]];
}
