// One POST and its answer, with limits on what is kept of it. Knows nothing of phases; time limits come with the signal.
// On node:http rather than fetch, which gives up after five minutes without an answer whatever the signal says.
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export type PostRequest = { url: string; headers: Readonly<Record<string, string>>; body: string; signal: AbortSignal };

export type PostAnswer = {
  status: number;
  contentType: string | undefined;
  retryAfter: string | undefined;
  bytes: Buffer;
  /** More came than is kept. */
  isCut: boolean;
};

/** Sends a request and reads its answer. Rejects when there is none, with the error of the connection or the signal. Follows no redirects. */
export type Post = (request: PostRequest) => Promise<PostAnswer>;

export type PostLimits = {
  /** Kept of an answer that may be a result. */
  resultBytesMax: number;
  /** Kept of any other answer. */
  otherBytesMax: number;
};

/** Connections are kept for the next request; idle ones do not keep the process. */
const AGENT_OPTIONS = { keepAlive: true, maxFreeSockets: 64, scheduling: 'lifo' } as const;

export function createPost(limits: PostLimits): Post {
  const agents = { http: new HttpAgent(AGENT_OPTIONS), https: new HttpsAgent(AGENT_OPTIONS) };
  const begin = (request: PostRequest, isAgain: boolean): ClientRequest => {
    const headers = { ...request.headers, 'content-length': Buffer.byteLength(request.body) };
    const options = { method: 'POST', headers, signal: request.signal };
    return new URL(request.url).protocol === 'https:'
      ? httpsRequest(request.url, { ...options, agent: !isAgain && agents.https })
      : httpRequest(request.url, { ...options, agent: !isAgain && agents.http });
  };
  const exchange = async (request: PostRequest, isAgain = false): Promise<PostAnswer> => {
    const outgoing = begin(request, isAgain);
    const incoming = await answerTo(outgoing, request.body);
    const isResult = incoming.statusCode !== undefined && incoming.statusCode >= 200 && incoming.statusCode < 300;
    return readAnswer(incoming, isResult ? limits.resultBytesMax : limits.otherBytesMax);
  };
  return async (request) => {
    try {
      return await exchange(request);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      // The other side was closing the kept connection: most likely nobody has seen this request. Once more, on a new connection; should
      // somebody have, it is the same message to him.
      return await exchange(request, true);
    }
  };
}

class StaleConnection extends Error {}

function answerTo(outgoing: ClientRequest, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    // Stays: a connection may break once more after its answer has begun.
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const isStale = outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(isStale ? new StaleConnection('the kept connection was closed', { cause: error }) : error);
    });
    outgoing.end(body);
  });
}

function readAnswer(incoming: IncomingMessage, bytesMax: number): Promise<PostAnswer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  return new Promise((resolve, reject) => {
    const settle = () => {
      const { statusCode = 0, headers } = incoming;
      const bytes = Buffer.concat(chunks).subarray(0, bytesMax);
      const [contentType, retryAfter] = [headers['content-type'], headers['retry-after']];
      resolve({ status: statusCode, contentType, retryAfter, bytes, isCut: sizeBytes > bytesMax });
    };
    incoming.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      chunks.push(chunk);
      if (sizeBytes <= bytesMax) return;
      settle();
      incoming.destroy();
    });
    incoming.once('end', settle);
    incoming.on('error', reject);
    incoming.once('close', () => {
      reject(new Error('the connection ended before the answer did'));
    });
  });
}
