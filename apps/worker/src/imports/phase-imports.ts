// Carries out ctx.import: makes the import of the phase or finds the one of an earlier attempt, hands its content over, waits for its end.
import { createContentReceiver, importOptions, type ContentReceiver, type SpoolLimits } from '@millrace/imports';
import { AppError, importBodySchema } from '@millrace/shared';
import { PermanentError, type ImportContent, type ImportOutcome } from '@millrace/sdk';
import {
  asAppError,
  cancelImport,
  createPhaseImport,
  findPhaseImport,
  isFinalImportError,
  openImported,
  readDataset,
  readFlowHead,
  readImport,
  retryImport,
  type Database,
  type StoredImport,
} from '@millrace/store';
import type { UploadStorage } from '@millrace/storage';
import type { PhaseImportCall, PhaseImports } from '../engine/context/phase-imports.ts';
import { announce, type ImportAnnouncerDeps } from './import-announcer.ts';
import { readContent } from './content-bytes.ts';
import { importEnded } from './import-ended.ts';

export type PhaseImportsDeps = ImportAnnouncerDeps & { database: Database; storage: UploadStorage; limits: SpoolLimits };

type Target = { importId: string; workspace: string };
type ContentCall = PhaseImportCall & { source: ImportContent };

const KEY_CHARS_MAX = 200;
/** What the receiver says of content or options that the next attempt would send again. */
const PERMANENT_CODES: ReadonlySet<string> = new Set([
  'validation',
  'empty-file',
  'unsupported-file',
  'payload-too-large',
  'unknown-dataset',
]);

export function createPhaseImports(deps: PhaseImportsDeps): PhaseImports {
  const receive = createContentReceiver({
    ...deps,
    announce: (change) => {
      void announce(deps, change);
    },
  });
  return {
    run: async (call) => {
      try {
        const target = await findTarget(deps, receive, call);
        return await outcomeOf(deps, await importEnded(deps.database, target, call.signal));
      } catch (error) {
        if (call.signal.aborted) await cancelWithFlow(deps, call);
        throw forHandler(error);
      }
    },
  };
}

async function findTarget(deps: PhaseImportsDeps, receive: ContentReceiver, call: PhaseImportCall): Promise<Target> {
  const { source, phase, dataset } = call;
  const { workspace } = phase;
  if ('importId' in source) {
    const found = await readImport(deps.database.main, { importId: source.importId, workspace });
    if (found?.dataset !== dataset) throw new PermanentError(`there is no import ${source.importId} into "${dataset}"`);
    return { importId: found.id, workspace };
  }
  const made = await makeImport(deps, { ...call, source });
  const target = { importId: made.id, workspace };
  if (made.status === 'awaiting_content') await handOver(deps, { receive, target, call: { ...call, source } });
  else if (made.status === 'failed') await goOn(deps, target);
  return target;
}

async function makeImport(deps: PhaseImportsDeps, { phase, dataset, source, options }: ContentCall): Promise<StoredImport> {
  const { content: _content, ...asked } = source;
  const key = options.key ?? dataset;
  if (key === '' || key.length > KEY_CHARS_MAX || key.includes('\0') || !key.isWellFormed())
    throw new PermanentError(`the key of an import must have 1 to ${KEY_CHARS_MAX} characters, none of them NUL`);
  const body = importBodySchema.safeParse({ mode: 'insert', ...asked, dataset });
  if (!body.success) {
    const [issue] = body.error.issues;
    throw new PermanentError(`ctx.import: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'its options are not valid'}`.trim());
  }
  const found = await readDataset(deps.database.main, { workspace: phase.workspace, name: dataset });
  if (found === undefined) throw new PermanentError(`there is no dataset "${dataset}"`);
  const made = await createPhaseImport(deps.database.main, {
    phase,
    key,
    dataset,
    mode: body.data.mode as StoredImport['mode'],
    format: body.data.format,
    options: importOptions(body.data, found),
  });
  if (made === undefined) throw new PermanentError(`there is no dataset "${dataset}"`);
  if (made.import.dataset !== dataset)
    throw new PermanentError(`the import "${key}" of this phase fills "${made.import.dataset}": another dataset needs another key`);
  return made.import;
}

// Whoever holds the phase sends: an attempt that died, or was left behind, must not keep the next one from it.
async function handOver(
  deps: PhaseImportsDeps,
  { receive, target, call }: { receive: ContentReceiver; target: Target; call: ContentCall },
): Promise<void> {
  const bytes = readContent(call.source.content);
  try {
    await receive({ ...target, packing: 'none', takesOver: true, next: bytes.next }, call.signal);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid-state') throw error;
    const found = await readImport(deps.database.main, target);
    // An attempt that was left behind was faster: its content is there.
    if (found?.status === 'awaiting_content') throw error;
  } finally {
    bytes.close();
  }
}

// Where trying again may help, the import goes on from its last checkpoint; where not, it says why it failed once more.
async function goOn(deps: PhaseImportsDeps, target: Target): Promise<void> {
  const outcome = await retryImport(deps.database, target);
  if (outcome.kind === 'done') await announce(deps, { events: outcome.events, dispatches: outcome.dispatches ?? [] });
}

// A flow that was cancelled loads nothing any more. What somebody else has made is theirs.
async function cancelWithFlow(deps: PhaseImportsDeps, { phase, source, dataset, options }: PhaseImportCall): Promise<void> {
  if ('importId' in source) return;
  try {
    const flow = await readFlowHead(deps.database.main, phase);
    const made =
      flow?.status === 'cancelled' ? await findPhaseImport(deps.database.main, { phase, key: options.key ?? dataset }) : undefined;
    if (made === undefined) return;
    const outcome = await cancelImport(deps.database, { importId: made.id, workspace: phase.workspace, by: 'flow' });
    if (outcome.kind !== 'done') return;
    await announce(deps, { events: outcome.events, dispatches: [] });
    if (outcome.import.content_ref !== null) await deps.storage.remove(outcome.import.content_ref);
  } catch (error) {
    deps.log.warn({ err: error, flowId: phase.flowId }, 'the import of a cancelled flow was not cancelled');
  }
}

async function outcomeOf(deps: PhaseImportsDeps, ended: StoredImport): Promise<ImportOutcome> {
  if (ended.status !== 'completed') throw failureOf(ended);
  const rows = await openImported(deps.database, { importId: ended.id, workspace: ended.workspace });
  if (rows === undefined) throw new PermanentError(`the dataset of the import ${ended.id} is not there any more`);
  return {
    ...rows,
    importId: ended.id,
    rowsInserted: ended.rows_inserted,
    rowsUpdated: ended.rows_updated,
    rowsUnchanged: ended.rows_unchanged,
    rowsSuperseded: ended.rows_superseded,
    rowsRejected: ended.rows_rejected,
  };
}

function failureOf({ id, status, error }: StoredImport): Error {
  if (status !== 'failed' || error === null)
    return Object.assign(new PermanentError(`the import ${id} was ${status}`), { code: `import-${status}` });
  const message = `the import ${id} failed: ${error.message}`;
  return Object.assign(isFinalImportError(error.code) ? new PermanentError(message) : new Error(message), { code: error.code });
}

// Faults that come back with every attempt are not tried again.
function forHandler(error: unknown): unknown {
  const known = asAppError(error);
  if (!(known instanceof AppError) || !PERMANENT_CODES.has(known.code)) return known;
  return Object.assign(new PermanentError(known.message, { cause: known }), { code: known.code });
}
