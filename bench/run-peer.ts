// Starts a peer in a process of its own, so that neither side shares an event loop with what measures it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type Peer = { firstLine: Record<string, unknown>; stop(): Promise<void> };

/** Runs `bench/peers/<file>` and answers the first JSON line it prints. */
export async function runPeer(file: string, args: readonly string[], env: Record<string, string>): Promise<Peer> {
  const path = fileURLToPath(new URL(`./peers/${file}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => text as string),
    exited.then(([code]) => Promise.reject(new Error(`peer ${file} ended with ${String(code)} before it printed anything`))),
  ]);
  return {
    firstLine: JSON.parse(line) as Record<string, unknown>,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
