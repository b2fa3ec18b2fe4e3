// What the process of an isolated phase prints goes to the worker's log, line by line and capped: it must neither fill the disk nor be able to
// stop the process by not being read.
import type { Readable } from 'node:stream';

export type ProcessOutput = {
  read(name: 'stdout' | 'stderr', stream: Readable): void;
  /** Whether V8 said that it gave up for want of memory. */
  saidOutOfMemory(): boolean;
};

/** A Logger, or what of it is needed here. */
export type OutputLog = { info(fields: { stream: string }, line: string): void; warn(message: string): void };

const LINE_CHARS_MAX = 4_000;
/** Of each stream of one process, so that idle talk on one leaves room for what matters on the other. What is beyond is read and dropped. */
const CHARS_MAX = 131_072;
/** Short lines cost more than their characters. */
const LINE_CHARS_COUNTED_MIN = 100;
const OUT_OF_MEMORY = 'JavaScript heap out of memory';

export function createProcessOutput(log: OutputLog): ProcessOutput {
  let outOfMemory = false;
  const createWriter = (stream: string) => {
    let leftChars = CHARS_MAX;
    return (line: string) => {
      if (line.includes(OUT_OF_MEMORY)) outOfMemory = true;
      if (leftChars <= 0 || line.trim() === '') return;
      leftChars -= Math.max(LINE_CHARS_COUNTED_MIN, line.length);
      log.info({ stream }, line);
      if (leftChars <= 0) log.warn(`the process of an isolated phase prints too much on ${stream}, the rest is dropped`);
    };
  };
  return {
    saidOutOfMemory: () => outOfMemory,
    read: (name, stream) => {
      const write = createWriter(name);
      let partial = '';
      stream.setEncoding('utf8');
      stream.on('data', (chunk: string) => {
        const lines = `${partial}${chunk}`.split('\n');
        // Cut before it is kept: a line without an end must not grow.
        partial = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX);
        for (const line of lines) write(line.slice(0, LINE_CHARS_MAX));
      });
      stream.on('end', () => {
        write(partial);
      });
      // A pipe that breaks with its process has nothing more to tell.
      stream.on('error', () => undefined);
    },
  };
}
