// Turns zod schemas into JSON Schema for the document: named ones become components that are referred to, the rest stays in place.
import { z } from 'zod';

export type JsonSchema = { [key: string]: unknown };

export type SchemaCollector = {
  /** The schema, or a reference to its component when it has a `meta.id`. */
  reference(schema: z.ZodType, io: 'input' | 'output'): JsonSchema;
  /** The schema itself, without `$schema`. */
  inline(schema: z.ZodType, io: 'input' | 'output'): JsonSchema;
  components(): Record<string, JsonSchema>;
};

export function createSchemaCollector(): SchemaCollector {
  const components: Record<string, JsonSchema> = {};
  const inline = (schema: z.ZodType, io: 'input' | 'output'): JsonSchema => {
    const { $schema: _dialect, $defs, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as JsonSchema;
    for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonSchema>))
      components[name] = tidy(definition) as JsonSchema;
    return tidy(rest) as JsonSchema;
  };
  return { reference: inline, inline, components: () => components };
}

// Points references to the components, and leaves out what says nothing: the pattern of a known format, the bounds of a safe integer.
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => tidy(item));
  if (value === null || typeof value !== 'object') return value;
  const schema = value as JsonSchema;
  return Object.fromEntries(
    Object.entries(schema)
      .filter(
        ([key, member]) =>
          !(key === 'pattern' && typeof schema['format'] === 'string') &&
          Math.abs(typeof member === 'number' ? member : 0) !== Number.MAX_SAFE_INTEGER,
      )
      .map(([key, member]) => [
        key,
        key === '$ref' && typeof member === 'string' ? member.replace('#/$defs/', '#/components/schemas/') : tidy(member),
      ]),
  );
}
