// What an import's body asks for beyond its schema, checked against the dataset it fills.
import { AppError, fieldError, type FieldError, type ImportBody } from '@millrace/shared';
import type { ImportOptions, StoredDataset } from '@millrace/store';

export type OptionsBody = Pick<ImportBody, 'mode' | 'mapping' | 'csv' | 'onUnknownColumn' | 'maxRejects'>;

/** @throws AppError validation: upsert without a key, a mapping onto columns that are not there or onto one column twice */
export function importOptions(body: OptionsBody, dataset: Pick<StoredDataset, 'columns' | 'key'>): ImportOptions {
  if (body.mode === 'upsert' && dataset.key.length === 0) throw fieldError('validation', '/mode', 'upsert needs a dataset with a key');
  const errors = mappingFaults(body.mapping ?? {}, dataset);
  const [first] = errors;
  if (first !== undefined) throw new AppError('validation', { detail: `${first.pointer}: ${first.message}`, errors });
  return {
    onUnknownColumn: body.onUnknownColumn,
    ...(body.mapping === undefined ? {} : { mapping: body.mapping }),
    ...(body.csv === undefined ? {} : { csv: body.csv }),
    ...(body.maxRejects === undefined ? {} : { maxRejects: body.maxRejects }),
  };
}

function mappingFaults(mapping: Readonly<Record<string, string>>, { columns }: Pick<StoredDataset, 'columns'>): FieldError[] {
  const taken = new Set<string>();
  return Object.entries(mapping).flatMap(([source, target]) => {
    const message = columns.every(({ name }) => name !== target)
      ? 'is not a column of the dataset'
      : taken.has(target)
        ? 'is mapped twice'
        : null;
    taken.add(target);
    // The two characters that a JSON pointer escapes (RFC 6901).
    const pointer = `/mapping/${source.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    return message === null ? [] : [{ pointer, code: 'validation', message }];
  });
}
