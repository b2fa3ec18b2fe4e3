// Starts a peer in a process of its own, so that neither side shares an event loop with what measures it. A peer answers in lines of JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type PeerLine = Record<string, unknown>;

export type PeerProcess = {
  /** The next line of JSON. @throws Error when the peer has ended, with what it said on stderr. */
  nextLine(): Promise<PeerLine>;
  /** Writes a line to its stdin. */
  write(line: string): void;
  /** SIGTERM, SIGKILL after 10 s; settles when it is gone. */
  stop(): Promise<void>;
};

export type PeerCommand = {
  /** A file below bench/peers, or a program with its own arguments. */
  file?: string;
  program?: string;
  args: readonly (string | number)[];
  env: Record<string, string>;
};

const STOP_TIMEOUT_MS = 10_000;
const STDERR_KEPT = 4_000;
export const PEERS = fileURLToPath(new URL('./peers/', import.meta.url));

export function startPeer({ file, program = process.execPath, args, env }: PeerCommand): PeerProcess {
  const child = spawn(program, [...(file === undefined ? [] : [`${PEERS}${file}`]), ...args.map(String)], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exited = Promise.race([once(child, 'exit'), once(child, 'error')]);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = `${stderr}${chunk.toString()}`.slice(-STDERR_KEPT);
  });
  child.stdin.on('error', () => {
    stderr += '(its stdin is closed)';
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    nextLine: async () => {
      const { value, done } = await lines.next();
      if (done !== true) return JSON.parse(value) as PeerLine;
      throw new Error(`peer ${file ?? program} ended with ${String((await exited)[0])}: ${stderr}`);
    },
    write: (line) => child.stdin.write(`${line}\n`),
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** Starts a peer and settles when it has said that it is ready. `started` keeps it, so that it is stopped whatever happens. */
export async function startReady(command: PeerCommand, started: PeerProcess[]): Promise<void> {
  const peer = startPeer(command);
  started.push(peer);
  await peer.nextLine();
}

/** Runs a peer to its first line of JSON and stops it. */
export async function peerAnswer(command: PeerCommand): Promise<PeerLine> {
  const peer = startPeer(command);
  try {
    return await peer.nextLine();
  } finally {
    await peer.stop();
  }
}
