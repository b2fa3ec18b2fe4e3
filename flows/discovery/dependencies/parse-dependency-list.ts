// Reads the list of what something depends on, in the forms that exports use. Which installed thing is meant is decided by the graph.

export type DependencyKind = 'required' | 'optional' | 'peer';

export type DependencyRef = { name: string; range: string | null; kind: DependencyKind };

const SEPARATOR_PATTERN = /\s*[;\n]\s*/;
const COMMA_PATTERN = /\s*,\s*/;
const AT_PATTERN = /^(@?[^@]+)@(.+)$/;
const PARENTHESES_PATTERN = /^(.+?)\s*\(([^()]*)\)$/;
const SPACED_PATTERN = /^(\S+)\s+([\^~<>=v]*\s*\d\S*.*|\*)$/;
/** Lists longer than this are cut: no package needs so many, and a cell may be 16 MiB. */
const DEPENDENCIES_MAX = 5_000;

/** Understands `a@^1.0; @s/b`, commas, lines, `a (1.0)`, `a 1.0`, a JSON object of ranges and a JSON list of names. */
export function parseDependencyList(text: string, kind: DependencyKind): DependencyRef[] {
  const trimmed = text.trim();
  if (trimmed === '' || /^(?:none|-|n\/a|keine)$/i.test(trimmed)) return [];
  const entries = trimmed.startsWith('{') || trimmed.startsWith('[') ? jsonEntries(trimmed) : undefined;
  const refs = entries ?? splitList(trimmed).flatMap(textEntry);
  return refs.slice(0, DEPENDENCIES_MAX).map((ref) => ({ ...ref, kind }));
}

function splitList(text: string): string[] {
  return SEPARATOR_PATTERN.test(text) ? text.split(SEPARATOR_PATTERN) : text.split(COMMA_PATTERN);
}

type Entry = Omit<DependencyRef, 'kind'>;

function textEntry(entry: string): Entry[] {
  const text = entry.trim();
  if (text === '') return [];
  const match = AT_PATTERN.exec(text) ?? PARENTHESES_PATTERN.exec(text) ?? SPACED_PATTERN.exec(text);
  return match ? [{ name: (match[1] ?? '').trim(), range: (match[2] ?? '').trim() || null }] : [{ name: text, range: null }];
}

function jsonEntries(text: string): Entry[] | undefined {
  const value = readJson(text);
  if (Array.isArray(value)) return value.flatMap((item) => (typeof item === 'string' ? textEntry(item) : []));
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).map(([name, range]) => ({ name, range: typeof range === 'string' ? range : null }));
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
