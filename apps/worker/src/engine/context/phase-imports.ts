// ctx.import as the engine sees it. What carries it out is put in by the composition root, for the engine knows nothing of files.
import type { ImportOutcome, ImportSource } from '@millrace/sdk';
import type { ClaimedPhase } from '@millrace/store';

export type PhaseImportCall = {
  phase: ClaimedPhase;
  signal: AbortSignal;
  dataset: string;
  source: ImportSource;
  options: { key?: string };
};

export type PhaseImports = { run(call: PhaseImportCall): Promise<ImportOutcome> };
