// One line of an inventory after mapping and cleansing: what all later phases work on.
import type { CleanLicense } from './licenses/clean-license.ts';
import type { CleanVersion } from './cleansing/clean-version.ts';
import type { DependencyRef } from './dependencies/parse-dependency-list.ts';

export type SoftwareItem = {
  /** Position among the imported rows, from 1. */
  row: number;
  name: string;
  version: string | null;
  versionKind: CleanVersion['kind'];
  license: { kind: CleanLicense['kind']; value: string | null };
  /** With forward slashes. */
  path: string | null;
  /** A package of the project itself: its path is not inside any node_modules. Always false in an inventory of applications. */
  own: boolean;
  dependencies: readonly DependencyRef[];
  /** The notice; null when it is not deprecated. */
  deprecated: string | null;
  dev: boolean | null;
  optional: boolean | null;
  direct: boolean | null;
  installScript: boolean | null;
  /** A range of Node versions, or the name of another runtime. */
  runtime: string | null;
  /** ISO dates. */
  releasedAt: string | null;
  endOfLifeAt: string | null;
  homepage: string | null;
  vendor: string | null;
  owner: string | null;
  keywords: readonly string[];
};

/** How people and reports name an item: `name@version`, or the name alone. */
export function itemLabel(item: Pick<SoftwareItem, 'name' | 'version'>): string {
  return item.version === null ? item.name : `${item.name}@${item.version}`;
}
