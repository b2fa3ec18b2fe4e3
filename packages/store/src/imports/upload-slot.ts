// One upload at a time into an import: a slot in its row, renewed while bytes arrive, free again when its holder ends or dies.
import type { Queryable } from '../database.ts';

/** How long a slot is held without renewal. */
export const UPLOAD_SLOT_MS = 60_000;

/** False when the import does not await content (any more) or another upload is under way. */
export async function takeUploadSlot(on: Queryable, upload: { importId: string; uploadId: string }): Promise<boolean> {
  const result = await on.query({
    name: 'take-upload-slot',
    text: `UPDATE millrace.imports SET upload_id = $2, upload_until = now() + interval '${UPLOAD_SLOT_MS} milliseconds'
           WHERE id = $1 AND status = 'awaiting_content' AND (upload_until IS NULL OR upload_until < now() OR upload_id = $2)`,
    values: [upload.importId, upload.uploadId],
  });
  return result.rowCount === 1;
}

/** Does nothing when someone else holds the slot. */
export async function releaseUploadSlot(on: Queryable, upload: { importId: string; uploadId: string }): Promise<void> {
  await on.query({
    name: 'release-upload-slot',
    text: 'UPDATE millrace.imports SET upload_id = NULL, upload_until = NULL WHERE id = $1 AND upload_id = $2',
    values: [upload.importId, upload.uploadId],
  });
}
