// Sorts one item: what it is used for, how the project comes to have it, which kind and whose it is.
import type { SoftwareItem } from '../software-item.ts';

export const USES = ['runtime', 'development', 'optional', 'unknown'] as const;
export const REACHES = ['own', 'direct', 'transitive', 'unknown'] as const;

export type Use = (typeof USES)[number];
export type Reach = (typeof REACHES)[number];

/** `column`: the inventory says what is direct. `inferred`: what nothing else depends on is taken for direct. `none`: nothing is known. */
export type ReachBasis = 'column' | 'inferred' | 'none';

/** Development wins over optional: what only developers install cannot hurt in production. No column about either: unknown. */
export function useOf(item: Pick<SoftwareItem, 'dev' | 'optional'>): Use {
  if (item.dev === true) return 'development';
  if (item.optional === true) return 'optional';
  return item.dev === null && item.optional === null ? 'unknown' : 'runtime';
}

/** `dependedOn` holds the names that any item depends on; only the inferred basis looks at it. */
export function reachOf(item: Pick<SoftwareItem, 'name' | 'own' | 'direct'>, basis: ReachBasis, dependedOn: ReadonlySet<string>): Reach {
  if (item.own) return 'own';
  if (basis === 'none') return 'unknown';
  if (basis === 'column') return item.direct === true ? 'direct' : 'transitive';
  return dependedOn.has(item.name) ? 'transitive' : 'direct';
}

/** The scope of a package, else the vendor, else null. */
export function originOf(item: Pick<SoftwareItem, 'name' | 'vendor'>): string | null {
  const scope = /^(@[^/]+)\//.exec(item.name)?.[1];
  return scope ?? item.vendor;
}

/** A licence as a row of a table: the expression, or what stands there instead. */
export function licenseLabel(license: SoftwareItem['license']): string {
  if (license.kind === 'missing') return '(none)';
  return license.kind === 'file' ? '(terms in a file)' : (license.value ?? '(none)');
}
