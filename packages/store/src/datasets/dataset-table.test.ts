import { describe, expect, it } from '@jest/globals';
import { createTableSql, defusedExpression, quoteIdentifier, summarizeOriginSql, tableName } from './dataset-table.ts';
import { evolutionFault } from './put-dataset.ts';

const shape = {
  id: '0189d7aa-0000-7000-8000-000000000001',
  workspace: 'default',
  name: 'items',
  columns: [
    { name: 'sku', type: 'text' as const },
    { name: 'price', type: 'numeric' as const },
  ],
};

describe('the table of a dataset', () => {
  it('quotes whatever a name holds', () => {
    expect(quoteIdentifier('a"; drop table x; --')).toBe('"a""; drop table x; --"');
    expect(tableName({ workspace: 'w"', name: 'n"' })).toBe('"data_w"""."n"""');
  });

  it('is keyed by its key, or by the origin of its rows where there is none', () => {
    expect(createTableSql({ ...shape, key: ['sku'] })).toEqual([
      'CREATE SCHEMA IF NOT EXISTS "data_default"',
      `CREATE TABLE "data_default"."items" ("sku" text COLLATE "C", "price" numeric, "_import_id" uuid NOT NULL DEFAULT current_setting('millrace.import_id')::uuid, "_line" bigint NOT NULL, CONSTRAINT "_key_0189d7aa000070008000000000000001" PRIMARY KEY ("sku"))`,
      'CREATE INDEX "_origin_0189d7aa000070008000000000000001" ON "data_default"."items" USING brin ("_import_id", "_line") WITH (pages_per_range = 32, autosummarize = off)',
    ]);
    expect(createTableSql({ ...shape, key: [] }).at(-1)).toContain('PRIMARY KEY ("_import_id", "_line")');
    expect(summarizeOriginSql({ ...shape, key: [] })).toBeNull();
  });

  it('defuses with a pattern that knows plain numbers', () => {
    expect(defusedExpression('"a"')).toContain(`"a" ~ '^[-=+@\\t\\r]'`);
  });
});

describe('the evolution of a dataset', () => {
  const existing = { columns: [...shape.columns], key: ['sku'] };

  it('may add optional columns, in any order, and change rules', () => {
    const columns = [
      { name: 'note', type: 'text' as const },
      { name: 'price', type: 'numeric' as const, min: 0 },
      { name: 'sku', type: 'text' as const, required: true },
    ];
    expect(evolutionFault(existing, { columns, key: ['sku'] })).toBeNull();
  });

  it('may not lose or change what rows hold', () => {
    expect(evolutionFault(existing, { columns: [{ name: 'sku', type: 'text' }], key: ['sku'] })).toContain('price');
    expect(
      evolutionFault(existing, {
        columns: [
          { name: 'sku', type: 'text' },
          { name: 'price', type: 'double' },
        ],
        key: ['sku'],
      }),
    ).toContain('type');
    expect(evolutionFault(existing, { columns: existing.columns, key: ['sku', 'price'] })).toContain('key');
    expect(
      evolutionFault(existing, { columns: [...existing.columns, { name: 'must', type: 'text', required: true }], key: ['sku'] }),
    ).toContain('must');
  });
});
