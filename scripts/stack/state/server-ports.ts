// Finds free loopback ports for the embedded servers and remembers them in the state folder, so that URLs stay the same from start to start.
import { createServer } from 'node:net';
import { randomInt } from 'node:crypto';
import { errorCode, StackFault } from '../stack-fault.ts';
import { readStateFile, type StateFolder, writeStateFile } from './state-folder.ts';

export type ServerName = 'postgres' | 'redis';

/** Below the range that systems use for outgoing connections, so that none takes a remembered port while we are stopped. */
const range = { from: 20_000, to: 30_000 };
const triesMax = 50;

/** The code with which listening on the port fails, or undefined if it is free. Without a host: on all addresses. */
export function listenError(port: number, host?: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(errorCode(error) ?? 'EADDRINUSE'));
    server.listen({ port, ...(host === undefined ? {} : { host }), exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** The remembered port if it is free, else another free one, which is remembered from now on. */
export async function keepPort(folder: StateFolder, name: ServerName): Promise<number> {
  const remembered = readPorts(folder)[name];
  if (remembered !== undefined && (await listenError(remembered, '127.0.0.1')) === undefined) return remembered;
  const port = await freePort();
  // Read again: the other server's port may have been written while this one was looked for.
  writeStateFile(folder.ports, JSON.stringify({ ...readPorts(folder), [name]: port }));
  return port;
}

export async function freePort(): Promise<number> {
  for (let tried = 0; tried < triesMax; tried += 1) {
    const port = randomInt(range.from, range.to);
    if ((await listenError(port, '127.0.0.1')) === undefined) return port;
  }
  throw new StackFault('unavailable', `No free port was found on 127.0.0.1 between ${range.from} and ${range.to}.`);
}

/** What the file holds of usable port numbers; anything else in it is as good as nothing, since a port can always be chosen anew. */
export function readPorts(folder: StateFolder): Partial<Record<ServerName, number>> {
  const value = parse(readStateFile(folder.ports));
  const port = (name: ServerName): Partial<Record<ServerName, number>> => {
    const number = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
    return typeof number === 'number' && Number.isInteger(number) && number > 0 && number < 65_536 ? { [name]: number } : {};
  };
  return { ...port('postgres'), ...port('redis') };
}

function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}
