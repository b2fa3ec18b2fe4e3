// Turns what stands in a licence column into an SPDX expression, or says what else it is. Whether a licence is welcome is not decided here.
import parseSpdx from 'spdx-expression-parse';
import { DEPRECATED_LICENSE_IDS, LICENSE_ALIASES } from './license-aliases.ts';

export type CleanLicense = {
  /** `file`: terms in a file of the package. `unlicensed`: no rights are granted. `unknown`: a text that no rule understands. */
  kind: 'spdx' | 'file' | 'unlicensed' | 'unknown' | 'missing';
  value: string | null;
  /** The rule that changed the text; null when it was right as it stood. */
  fix: 'license-spelling' | 'license-parentheses' | 'license-operator' | 'license-json' | 'license-replaced-id' | null;
};

type SpdxTree = ReturnType<typeof parseSpdx>;

/** Longer texts are whole licences, no names of one. Also keeps the parser's recursion shallow. */
const LENGTH_MAX = 300;
const FILE_PATTERN = /^see licen[sc]e\b/i;
const UNLICENSED_PATTERN = /^(?:unlicensed|proprietary|commercial|all rights reserved|closed source|proprietär|kommerziell)$/i;
const NONE_PATTERN = /^(?:none|no licen[sc]e|no licen[sc]e specified|noassertion|keine)$/i;
const CHOICE_PATTERN = /\s+(?:or|oder)\s+|\s*(?:[/,;]|\|\|?)\s*/i;
const CONJUNCTION_PATTERN = /\s+(?:and|und)\s+|\s*&+\s*|\s\+\s/i;

export function cleanLicense(raw: string): CleanLicense {
  const text = raw.trim();
  if (text === '' || NONE_PATTERN.test(text)) return { kind: 'missing', value: null, fix: null };
  if (text.length > LENGTH_MAX) return { kind: 'unknown', value: `${text.slice(0, 60)}…`, fix: null };
  if (FILE_PATTERN.test(text)) return { kind: 'file', value: text, fix: null };
  if (UNLICENSED_PATTERN.test(text))
    return { kind: 'unlicensed', value: 'UNLICENSED', fix: text === 'UNLICENSED' ? null : 'license-spelling' };
  if (text.startsWith('{') || text.startsWith('[')) return fromJson(text);
  return fromExpression(text) ?? fromSpelling(text) ?? fromList(text) ?? { kind: 'unknown', value: text, fix: null };
}

/** The parsed expression, or undefined when the text is none. Ids that SPDX deprecated are accepted. */
export function parseLicense(text: string): SpdxTree | undefined {
  try {
    return parseSpdx(text);
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

function fromExpression(text: string): CleanLicense | undefined {
  const tree = parseLicense(text);
  if (tree === undefined) return undefined;
  const value = printLicense(tree);
  if (value === text) return { kind: 'spdx', value, fix: null };
  const bare = text.replaceAll(/[()]/g, '').replaceAll(/\s+/g, ' ').trim();
  return { kind: 'spdx', value, fix: bare === value.replaceAll(/[()]/g, '') ? 'license-parentheses' : 'license-replaced-id' };
}

function fromSpelling(text: string): CleanLicense | undefined {
  const key = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9.+]+/g, ' ')
    .replaceAll(/\b(?:the|licen[sc]e[sd]?|version|lizenz)\b/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  const id = LICENSE_ALIASES[key];
  return id === undefined ? undefined : { kind: 'spdx', value: id, fix: 'license-spelling' };
}

// "MIT/Apache-2.0", "MIT or Apache 2.0", "MIT, BSD-3-Clause": npm's old habit for a choice, which SPDX writes with OR.
function fromList(text: string): CleanLicense | undefined {
  const bare = text.replace(/^\((.*)\)$/, '$1');
  const choices = bare.split(CHOICE_PATTERN).filter((part) => part !== '');
  const parts = choices.length > 1 ? choices : bare.split(CONJUNCTION_PATTERN);
  if (parts.length < 2) return undefined;
  const cleaned = parts.map((part) => fromExpression(part) ?? fromSpelling(part));
  if (cleaned.some((part) => part === undefined)) return undefined;
  const operator = choices.length > 1 ? ' OR ' : ' AND ';
  return { kind: 'spdx', value: cleaned.map((part) => part?.value).join(operator), fix: 'license-operator' };
}

// Old package.json files hold { "type": "MIT", "url": … } or a list of such.
function fromJson(text: string): CleanLicense {
  const names = licenseNames(readJson(text));
  if (names.length === 0) return { kind: 'unknown', value: text, fix: null };
  const cleaned = cleanLicense(names.join(' OR '));
  return cleaned.kind === 'spdx' ? { ...cleaned, fix: 'license-json' } : cleaned;
}

function licenseNames(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(licenseNames);
  if (typeof value !== 'object' || value === null) return [];
  return 'type' in value && typeof value.type === 'string' ? [value.type] : [];
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Writes an expression in SPDX's own form: upper-case operators, parentheses only where OR stands inside AND, current ids. */
function printLicense(tree: SpdxTree): string {
  if ('conjunction' in tree) {
    const operator = tree.conjunction.toUpperCase();
    return [tree.left, tree.right]
      .map((side) => (operator === 'AND' && isChoice(side) ? `(${printLicense(side)})` : printLicense(side)))
      .join(` ${operator} `);
  }
  const id = tree.license + (tree.plus === true ? '+' : '');
  const current = DEPRECATED_LICENSE_IDS[id] ?? id;
  return tree.exception === undefined ? current : `${current} WITH ${tree.exception}`;
}

function isChoice(tree: SpdxTree): boolean {
  return 'conjunction' in tree && tree.conjunction === 'or';
}
