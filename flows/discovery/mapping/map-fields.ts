// Decides which column of an inventory is which canonical field, how sure that is and why. Reads nothing itself.
import { z } from 'zod';
import { CANONICAL_FIELDS, FIELD_ALIASES, canonicalFieldSchema, type CanonicalField } from './canonical-fields.ts';
import { headerWords, jaroWinkler, wordOverlap } from './text-similarity.ts';
import { valueEvidence, type ColumnSample } from './value-evidence.ts';

/** Below this confidence a column stays unmapped. */
const CONFIDENCE_MIN = 0.5;
/** Two headers less alike than this say nothing. */
const SIMILARITY_MIN = 0.88;
const OVERLAP_MIN = 0.6;
/** A resembling header counts less than a known one. */
const RESEMBLANCE_WEIGHT = 0.9;
const OVERLAP_WEIGHT = 0.8;
/** How far the values can push a header's score. */
const VALUES_WEIGHT = 0.25;
/** A header says this field, but hardly a value fits. */
const CONTRADICTION_SHARE = 0.3;
const CONTRADICTION_PENALTY = 0.4;
/** Only shapes that hardly anything else has may name a column whose header says nothing, and never with much confidence. */
const SHAPE_ONLY: Readonly<Partial<Record<CanonicalField, number>>> = { license: 0.6, homepage: 0.6, version: 0.55 };
const SHAPE_ONLY_SHARE = 0.9;

export const fieldMappingSchema = z.object({
  field: canonicalFieldSchema,
  column: z.string(),
  confidence: z.number().min(0).max(1),
  evidence: z.array(z.string()),
});

export type FieldMapping = z.infer<typeof fieldMappingSchema>;

type MappingResult = { fields: FieldMapping[]; unmapped: string[]; missing: CanonicalField[] };

/**
 * Maps columns to fields: every pair is scored by header (known alias, else Jaro-Winkler and shared words) and by values, then pairs
 * are taken best first over the whole table, so that a column goes to the field it fits best and never to two.
 */
export function mapFields(samples: readonly ColumnSample[]): MappingResult {
  const candidates = samples
    .flatMap((sample) => CANONICAL_FIELDS.flatMap((field) => scorePair(sample, field) ?? []))
    .toSorted((a, b) => b.confidence - a.confidence);
  const byField = new Map<CanonicalField, FieldMapping>();
  const taken = new Set<string>();
  for (const candidate of candidates) {
    if (byField.has(candidate.field) || taken.has(candidate.column)) continue;
    byField.set(candidate.field, candidate);
    taken.add(candidate.column);
  }
  return {
    fields: CANONICAL_FIELDS.flatMap((field) => byField.get(field) ?? []),
    unmapped: samples.map((sample) => sample.column).filter((column) => !taken.has(column)),
    missing: CANONICAL_FIELDS.filter((field) => !byField.has(field)),
  };
}

function scorePair(sample: ColumnSample, field: CanonicalField): FieldMapping | undefined {
  const header = scoreHeader(sample.column, field);
  const values = valueEvidence(sample, field);
  const evidence = [...header.evidence];
  if (values.share !== null)
    evidence.push(`${Math.round(values.share * 100)} % of ${sample.values.length} values look like ${values.looksLike}`);
  if (values.share === null && sample.filled === 0) evidence.push('the column is empty');
  const confidence = header.score > 0 ? combine(header.score, values.share) : shapeOnly(field, values.share);
  if (confidence < CONFIDENCE_MIN) return undefined;
  return { field, column: sample.column, confidence: Math.round(confidence * 100) / 100, evidence };
}

function combine(headerScore: number, share: number | null): number {
  if (share === null) return headerScore * (1 - VALUES_WEIGHT / 4);
  const combined = headerScore * (1 - VALUES_WEIGHT) + share * VALUES_WEIGHT;
  return share < CONTRADICTION_SHARE ? combined * (1 - CONTRADICTION_PENALTY) : combined;
}

function shapeOnly(field: CanonicalField, share: number | null): number {
  return share !== null && share >= SHAPE_ONLY_SHARE ? (SHAPE_ONLY[field] ?? 0) * share : 0;
}

type HeaderScore = { score: number; evidence: string[] };

function scoreHeader(header: string, field: CanonicalField): HeaderScore {
  const words = headerWords(header);
  const compact = words.join('');
  let best: HeaderScore = { score: 0, evidence: [] };
  for (const alias of FIELD_ALIASES[field]) {
    const aliasWords = headerWords(alias);
    if (aliasWords.join('') === compact) return { score: 1, evidence: [`"${header}" is a known header for ${field}`] };
    const found = resemblance({ header, words, compact }, alias, aliasWords);
    if (found.score > best.score) best = found;
  }
  return best;
}

function resemblance(header: { header: string; words: string[]; compact: string }, alias: string, aliasWords: string[]): HeaderScore {
  const similarity = jaroWinkler(header.compact, aliasWords.join(''));
  const overlap = wordOverlap(header.words, aliasWords);
  const bySpelling = similarity >= SIMILARITY_MIN ? similarity * RESEMBLANCE_WEIGHT : 0;
  const byWords = overlap >= OVERLAP_MIN ? overlap * OVERLAP_WEIGHT : 0;
  if (bySpelling === 0 && byWords === 0) return { score: 0, evidence: [] };
  if (bySpelling >= byWords)
    return { score: bySpelling, evidence: [`"${header.header}" is spelled like "${alias}" (${similarity.toFixed(2)})`] };
  return { score: byWords, evidence: [`"${header.header}" shares words with "${alias}" (${overlap.toFixed(2)})`] };
}
