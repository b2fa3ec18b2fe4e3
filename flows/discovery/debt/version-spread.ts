// Finds names that are there in several versions.
import semver from 'semver';
import type { SoftwareItem } from '../software-item.ts';

export type VersionSpread = { name: string; versions: readonly string[]; copies: number; severalMajors: boolean };

type VersionSpreadCounter = { add(item: Pick<SoftwareItem, 'name' | 'version' | 'own'>): void; result(): VersionSpread[] };

/** Only exact, stated versions count, and only what is not the project's own. Most versions first. */
export function createVersionSpread(): VersionSpreadCounter {
  const byName = new Map<string, Map<string, number>>();
  return {
    add({ name, version, own }) {
      if (version === null || own) return;
      const versions = byName.get(name) ?? new Map<string, number>();
      byName.set(name, versions.set(version, (versions.get(version) ?? 0) + 1));
    },
    result: () =>
      [...byName]
        .flatMap(([name, versions]) => (versions.size > 1 ? [spread(name, versions)] : []))
        .toSorted((a, b) => b.versions.length - a.versions.length || b.copies - a.copies || (a.name < b.name ? -1 : 1)),
  };
}

function spread(name: string, counts: ReadonlyMap<string, number>): VersionSpread {
  const versions = [...counts.keys()].toSorted(compareVersions);
  const copies = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return { name, versions, copies, severalMajors: new Set(versions.map((version) => majorOf(version))).size > 1 };
}

// Before 1.0.0 the second number is the one that breaks (semver 2.0.0, 4 and npm's caret rule).
function majorOf(version: string): string {
  const [major = version, minor = '0'] = version.split('.');
  return major === '0' ? `0.${minor}` : major;
}

function compareVersions(a: string, b: string): number {
  if (semver.valid(a) && semver.valid(b)) return semver.compare(a, b);
  return a.localeCompare(b, 'en', { numeric: true });
}
