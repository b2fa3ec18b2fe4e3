// PUT …/content: hands the bytes of a request to whoever takes an import's content, and says over HTTP what became of them.
import type { IncomingMessage } from 'node:http';
import { declaredPacking, type ContentReceiver } from '@millrace/imports';
import type { AcceptedContentAnswer } from '@millrace/shared';
import { readRequestBytes } from './request-bytes.ts';

export type UploadRequest = { importId: string; workspace: string; req: IncomingMessage; signal: AbortSignal };

export type UploadAnswer = { status: 200 | 202; body: AcceptedContentAnswer };

export type UploadReceiver = (upload: UploadRequest) => Promise<UploadAnswer>;

/** @returns a function that throws AppError for everything the PUT itself answers; other faults of the file become the import's. */
export function createUploadReceiver({ receive, idleMs }: { receive: ContentReceiver; idleMs: number }): UploadReceiver {
  return async ({ importId, workspace, req, signal }) => {
    const packing = declaredPacking(req.headers['content-encoding']);
    const length = req.headers['content-length'];
    const { kind, ...received } = await receive(
      {
        importId,
        workspace,
        packing,
        next: readRequestBytes(req, idleMs),
        ...(length === undefined ? {} : { declaredBytes: Number(length) }),
      },
      signal,
    );
    return { status: kind === 'same' ? 200 : 202, body: { id: importId, status: 'queued', ...received } };
  };
}
