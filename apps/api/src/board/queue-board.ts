// Bull Board behind our own gate. It has no authentication of its own, so nothing reaches it but reads by operators of the workspace
// `default` (the queues are shared by all workspaces). It is loaded on the first visit: most processes are never visited.
import { AppError, DEFAULT_WORKSPACE, roleAllows, type Principal } from '@millrace/shared';
import type { JobDispatcher } from '@millrace/queue';
import type { Express, RequestHandler } from 'express';
import type { Authenticator } from '../auth/authenticator.ts';
import { exchangeOf } from '../http/mounts.ts';

export const BOARD_PATH = '/admin/queues';

export type QueueBoardDeps = {
  authenticator: Pick<Authenticator, 'authenticate' | 'authenticateKey'>;
  dispatcher: Pick<JobDispatcher, 'queues' | 'isReady'>;
};

/** Its page puts its configuration and its styles in line; scripts come from its own files only. */
const BOARD_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
const BASIC_PATTERN = /^Basic +([A-Za-z0-9+/=]{1,1000})$/i;
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

export function createQueueBoard(deps: QueueBoardDeps): RequestHandler {
  let board: Promise<RequestHandler> | undefined;
  return async (request, response, next) => {
    const exchange = exchangeOf(response);
    exchange.operation = 'queueBoard';
    try {
      requireOperator(await findOperator(request.headers.authorization, deps.authenticator));
      if (!READS.has(request.method)) throw new AppError('method-not-allowed', { allow: [...READS] });
      if (!deps.dispatcher.isReady()) throw new AppError('dependency-unavailable', { detail: 'Redis is not available.' });
      response.setHeader('content-security-policy', BOARD_POLICY);
      board ??= loadBoard(deps);
      (await board)(request, response, next);
    } catch (error) {
      // A browser asks for a key when it meets this.
      response.setHeader('www-authenticate', 'Basic realm="Millrace", charset="UTF-8"');
      exchange.fail(error);
    }
  };
}

/** A bearer key, or HTTP Basic with the key as its password. */
function findOperator(header: string | undefined, authenticator: QueueBoardDeps['authenticator']): Principal | Promise<Principal> {
  if (header === undefined) throw new AppError('unauthorized');
  const basic = BASIC_PATTERN.exec(header)?.[1];
  if (basic === undefined) return authenticator.authenticate(header);
  const credentials = Buffer.from(basic, 'base64').toString('utf8');
  return authenticator.authenticateKey(credentials.slice(credentials.indexOf(':') + 1));
}

function requireOperator(principal: Principal): void {
  if (principal.workspace !== DEFAULT_WORKSPACE || !roleAllows(principal.role, 'operator')) {
    throw new AppError('insufficient-role', { detail: 'This needs the role operator in the workspace `default`.' });
  }
}

async function loadBoard({ dispatcher }: QueueBoardDeps): Promise<RequestHandler> {
  const [{ createBullBoard }, { BullMQAdapter }, { ExpressAdapter }] = await Promise.all([
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('@bull-board/express'),
  ]);
  const serverAdapter = new ExpressAdapter();
  serverAdapter.setBasePath(BOARD_PATH);
  createBullBoard({
    queues: dispatcher.queues().map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
    serverAdapter,
    options: { uiConfig: { boardTitle: 'Millrace queues' } },
  });
  const router = serverAdapter.getRouter() as Express;
  router.disable('x-powered-by');
  return router;
}
