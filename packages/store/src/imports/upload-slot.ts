// One upload at a time into an import: a slot in its row, renewed while bytes arrive, free again when its holder ends or dies.
import type { Queryable } from '../database.ts';

/** How long a slot is held without renewal. */
export const UPLOAD_SLOT_MS = 60_000;

export type UploadSlot = {
  importId: string;
  uploadId: string;
  /** Takes it from another upload that is under way, which then ends. */
  takesOver?: boolean;
};

/** False when the import does not await content (any more) or another upload is under way. */
export async function takeUploadSlot(on: Queryable, upload: UploadSlot): Promise<boolean> {
  const result = await on.query({
    name: 'take-upload-slot',
    text: `UPDATE millrace.imports SET upload_id = $2, upload_until = now() + interval '${UPLOAD_SLOT_MS} milliseconds'
           WHERE id = $1 AND status = 'awaiting_content' AND (upload_until IS NULL OR upload_until < now() OR upload_id = $2 OR $3)`,
    values: [upload.importId, upload.uploadId, upload.takesOver ?? false],
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
