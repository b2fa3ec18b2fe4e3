import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from '@jest/globals';
import { createProcessOutput } from './process-output.ts';

async function read(chunks: readonly (string | Buffer)[]) {
  const lines: string[] = [];
  const warnings: string[] = [];
  const output = createProcessOutput({
    info: (_: object, line: string) => lines.push(line),
    warn: (message: string) => warnings.push(message),
  });
  const stream = new PassThrough();
  output.read('stdout', stream);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await finished(stream);
  return { lines, warnings, output };
}

describe('the output of a process', () => {
  it('is logged line by line, wherever its chunks end', async () => {
    const euro = Buffer.from('€');
    const { lines } = await read(['one\ntw', 'o\n\n  \nth', euro.subarray(0, 1), euro.subarray(1), '\nlast']);
    expect(lines).toEqual(['one', 'two', 'th€', 'last']);
  });

  it('is cut where a line does not end', async () => {
    const { lines } = await read(Array.from({ length: 10 }, () => 'x'.repeat(3_000)));
    expect(lines).toEqual(['x'.repeat(4_000)]);
  });

  it('is dropped when it is too much, which is said once', async () => {
    const { lines, warnings } = await read(Array.from({ length: 5_000 }, (_, index) => `${index}\n`));
    expect(lines.length).toBeGreaterThan(1_000);
    expect(lines.length).toBeLessThan(1_500);
    expect(warnings).toHaveLength(1);
  });

  it('leaves room for one stream whatever the other says', () => {
    const lines: string[] = [];
    const output = createProcessOutput({ info: (_, line) => lines.push(line), warn: () => undefined });
    const [talk, error] = [new PassThrough(), new PassThrough()];
    output.read('stdout', talk);
    output.read('stderr', error);
    talk.emit('data', 'talk\n'.repeat(5_000));
    error.emit('data', 'what matters\n');
    expect(lines.at(-1)).toBe('what matters');
  });

  it('tells when memory ran out, also beyond what is logged', async () => {
    const { output } = await read([
      'y\n'.repeat(5_000),
      'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n',
    ]);
    expect(output.saidOutOfMemory()).toBe(true);
    expect((await read(['all is well'])).output.saidOutOfMemory()).toBe(false);
  });
});
