// The fields that the discovery flow understands, and the headers that people give them. Which column becomes which is decided elsewhere.
import { z } from 'zod';

export const CANONICAL_FIELDS = [
  'name',
  'version',
  'license',
  'path',
  'dependencies',
  'optionalDependencies',
  'peerDependencies',
  'deprecated',
  'dev',
  'optional',
  'direct',
  'runtime',
  'releasedAt',
  'endOfLifeAt',
  'homepage',
  'vendor',
  'owner',
  'keywords',
  'installScript',
] as const;

export const canonicalFieldSchema = z.enum(CANONICAL_FIELDS);

export type CanonicalField = z.infer<typeof canonicalFieldSchema>;

/**
 * Known headers by field, in any spelling: they are compared without case, spaces and punctuation. Collected from npm, SPDX and
 * CycloneDX exports and from English and German software inventories. No alias may stand under two fields.
 */
export const FIELD_ALIASES: Readonly<Record<CanonicalField, readonly string[]>> = {
  name: list(
    'name, package, package name, pkg, pkg name, module, module name, library, component, component name, artifact, artifact id',
    'application, application name, app, app name, software, software name, product, product name, display name, title',
    'paket, paketname, anwendung, anwendungsname, produkt, produktname, bezeichnung, komponente, nom, nombre, logiciel',
  ),
  version: list(
    'version, ver, vers, version number, version no, package version, software version, product version, installed version',
    'current version, release, release number, versionsnummer, versionsnr, versionsstand, softwareversion',
  ),
  license: list(
    'license, licence, licenses, licences, license name, license id, license type, licence type, spdx, spdx id, spdx license',
    'license expression, declared license, lizenz, lizenzen, lizenztyp, lizenzart, licencia',
  ),
  path: list(
    'path, install path, installation path, install location, install dir, install directory, installed at, location, file path, folder',
    'directory, pfad, installationspfad, verzeichnis, ablageort, chemin',
  ),
  dependencies: list(
    'dependencies, depends on, dependency, deps, requires, required packages, relies on, prerequisites, runtime dependencies',
    'abhängigkeiten, abhaengigkeiten, hängt ab von, benötigt, voraussetzungen, dépendances, dependencias',
  ),
  optionalDependencies: list('optional dependencies, optional deps, optionally depends on, optionale abhängigkeiten'),
  peerDependencies: list('peer dependencies, peer deps, peers, required peers'),
  deprecated: list(
    'deprecated, deprecation, deprecation notice, deprecation message, is deprecated, obsolete, veraltet, abgekündigt, obsolet',
  ),
  dev: list('dev, dev only, development, development only, is dev, dev dependency, build only, nur entwicklung, entwicklung'),
  optional: list('optional, is optional, optional package, optionales paket'),
  direct: list('direct, direct dependency, is direct, directly required, top level, declared, direkt, direkte abhängigkeit'),
  runtime: list(
    'engines, engine, node, node version, required node, node engine, engines node, runtime, required runtime, runtime version',
    'platform version, laufzeit, laufzeitumgebung, laufzeitversion',
  ),
  releasedAt: list(
    'released, released at, release date, released on, published, published at, publish date, publication date, build date',
    'veröffentlicht, veröffentlichungsdatum, freigabedatum, erscheinungsdatum, date de sortie',
  ),
  endOfLifeAt: list(
    'eol, eol date, end of life, end of life date, end of support, end of support date, support end, supported until, support until',
    'eos, eos date, supportende, wartungsende, support bis, end of maintenance',
  ),
  homepage: list(
    'homepage, home page, url, website, web site, project url, link, repository, repository url, repo, webseite, projektseite',
  ),
  vendor: list(
    'vendor, vendor name, manufacturer, publisher, supplier, author, maker, hersteller, anbieter, lieferant, herausgeber, fournisseur',
  ),
  owner: list(
    'owner, owned by, responsible, application owner, service owner, business owner, contact, team, maintainer, maintainers',
    'verantwortlich, verantwortlicher, ansprechpartner, eigentümer, zuständig',
  ),
  keywords: list('keywords, keyword, tags, labels, topics, category, kategorie, schlagwörter, stichwörter'),
  installScript: list('install script, has install script, runs install script, install scripts, postinstall, installationsskript'),
};

// A function declaration, so that it is there when the table above is made.
function list(...lines: string[]): string[] {
  return lines.flatMap((line) => line.split(', '));
}
