// Listens and stops listening: on stop no new connection is taken, requests in flight finish, idle connections close.
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger, Service } from '@millrace/process';

export type HttpService = Service & { port(): number };

export type HttpServiceOptions = {
  server: Server;
  host: string;
  /** 0: any free one. */
  port: number;
  log: Logger;
};

export function createHttpService({ server, host, port, log }: HttpServiceOptions): HttpService {
  const boundPort = () => (server.address() as AddressInfo | null)?.port ?? port;
  return {
    name: 'http server',
    port: boundPort,
    start: async () => {
      await listen(server, { host, port });
      log.info({ address: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort()}` }, 'listening');
    },
    stop: async (deadlineMs) => {
      if (!server.listening) return;
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      // Keep-alive connections that are busy now are idle in a moment.
      const sweep = setInterval(() => {
        server.closeIdleConnections();
      }, 50);
      const cut = setTimeout(() => {
        server.closeAllConnections();
      }, deadlineMs);
      server.closeIdleConnections();
      await closed;
      clearInterval(sweep);
      clearTimeout(cut);
    },
  };
}

function listen(server: Server, address: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`port ${address.port} on ${address.host} is in use by another process; set MILLRACE_PORT to a free one`, {
              cause: error,
            })
          : error,
      );
    };
    server.once('error', failed);
    server.listen(address, () => {
      server.off('error', failed);
      resolve();
    });
  });
}
