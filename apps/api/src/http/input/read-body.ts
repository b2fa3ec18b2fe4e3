// Reads a request body into memory up to a limit, by a deadline. What it says is left to the parsers.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '@millrace/shared';

const EMPTY = Buffer.alloc(0);

/** The declared length: undefined when chunked, 0 when there is no body. */
export function declaredLength(request: IncomingMessage): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined;
  return Number(request.headers['content-length'] ?? 0);
}

/** @throws AppError payload-too-large when the declared length is over the limit. */
export function requireLengthWithin(request: IncomingMessage, bytesMax: number): void {
  if ((declaredLength(request) ?? 0) > bytesMax) throw tooLarge(bytesMax);
}

/**
 * The whole body. Over the limit nothing more is kept.
 * @throws AppError payload-too-large; request-timeout when the client went away before the end.
 */
export function readBody({ req, res }: { req: IncomingMessage; res: ServerResponse }, bytesMax: number): Promise<Buffer> {
  requireLengthWithin(req, bytesMax);
  if (declaredLength(req) === 0) return Promise.resolve(EMPTY);
  if (req.headers.expect !== undefined) res.writeContinue();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    req.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      reject(tooLarge(bytesMax));
    });
    req.on('end', () => {
      const [only] = chunks;
      resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
    });
    req.on('error', (error) => {
      reject(new AppError('request-timeout', { detail: 'The connection ended before the body did.' }, { cause: error }));
    });
  });
}

function tooLarge(bytesMax: number): AppError {
  return new AppError('payload-too-large', { detail: `The body may have at most ${bytesMax} bytes.` });
}
