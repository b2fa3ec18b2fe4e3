// What nobody caught ends the process, as it would end a worker. It says why first, so that the phase's error can tell.
import { inspect } from 'node:util';
import type { ParentLink } from './parent-link.ts';

const MESSAGE_CHARS_MAX = 1_000;
const LAST_WORDS_MS = 1_000;

export function endOnUnknownFailure(link: ParentLink): void {
  const end = (kind: string) => (thrown: unknown) => {
    process.stderr.write(`${kind}: ${inspect(thrown)}\n`);
    setTimeout(() => process.exit(1), LAST_WORDS_MS);
    void link.send({ type: 'fault', message: `${kind}: ${messageOf(thrown)}` }).then(() => process.exit(1));
  };
  process.on('uncaughtException', end('uncaught exception'));
  process.on('unhandledRejection', end('unhandled rejection'));
}

function messageOf(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : inspect(thrown, { depth: 1 })).slice(0, MESSAGE_CHARS_MAX);
}
