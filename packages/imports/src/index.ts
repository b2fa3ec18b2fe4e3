// Takes an import's content in, whoever sends it: unpacks, stores and indexes it in one pass, plans it against the dataset, hands it over.
export { declaredPacking } from './decompress.ts';
export { importOptions } from './import-options.ts';
export { createContentReceiver } from './receive-content.ts';
export type { ContentReceiver } from './receive-content.ts';
export { spoolLimits } from './spool-content.ts';
export type { SpoolLimits } from './spool-content.ts';
