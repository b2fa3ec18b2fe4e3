// How a peer that works off jobs begins: it says that it is ready, and is told to go.
import { createInterface } from 'node:readline';

/** Says that everything is set up, and settles when it is told to begin. */
export async function announceReady(): Promise<void> {
  process.stdout.write('{"ready":true}\n');
  for await (const line of createInterface({ input: process.stdin })) if (line === 'go') return;
}
