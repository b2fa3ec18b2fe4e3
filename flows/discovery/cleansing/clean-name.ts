// Brings names into one spelling: npm's rules for packages, gentle ones for applications.

type CleanName = { value: string | null; version: string | null };

const SUFFIXED_VERSION_PATTERN = /^(@?[^@\s]+)@v?(\d[\w.+-]*)$/;
const MARKS_PATTERN = /[™®©]|\((?:tm|r|c)\)/gi;

/**
 * A package's name: "%40scope%2fname" decoded, "npm:" and a version behind "@" taken off, lower case as the npm registry has
 * demanded since 2014; the scope stays. A path that spells the name with capitals shows an older package, whose case is kept.
 */
export function cleanPackageName(text: string, path: string | null): CleanName {
  const decoded = text
    .replace(/^%40/i, '@')
    .replace(/%2f/i, '/')
    .replace(/^npm:/i, '')
    .replaceAll(/\s*\/\s*/g, '/');
  const suffixed = SUFFIXED_VERSION_PATTERN.exec(decoded);
  const name = suffixed?.[1] ?? decoded;
  const asInstalled = path !== null && path.replaceAll('\\', '/').endsWith(`/${name}`);
  return { value: (asInstalled ? name : name.toLowerCase()) || null, version: suffixed?.[2] ?? null };
}

/** An application's name: trade marks and quotes off, case kept. */
export function cleanApplicationName(text: string): CleanName {
  const name = text
    .replaceAll(MARKS_PATTERN, '')
    .replaceAll(/^["']+|["']+$/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return { value: name || null, version: null };
}
