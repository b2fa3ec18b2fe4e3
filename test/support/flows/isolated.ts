// A flow whose first phase runs in a process of its own and behaves there as badly as it is asked to.
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { defineFlow, type PhaseContext } from '@millrace/sdk';
import { z } from 'zod';

const input = z.strictObject({
  mode: z.enum(['work', 'obey', 'ignore', 'block', 'exit', 'crash', 'reject', 'hoard', 'print', 'breed', 'fail', 'wait']),
  isolate: z.boolean().default(true),
  memoryMb: z.int().optional(),
  attempts: z.int().default(1),
  hard: z.int().default(60_000),
  soft: z.int().default(60_000),
});
type Input = z.infer<typeof input>;
type Behaviour = (ctx: PhaseContext<Input>) => unknown;

const FOR_EVER_MS = 600_000;

const BEHAVIOURS: Record<Input['mode'], Behaviour> = {
  work: async (ctx) => {
    ctx.log.info('at work', { attempt: ctx.attempt });
    ctx.progress(0.5, 'half');
    ctx.usage('isolated_work', 1);
    await ctx.lock('desk', () => delay(1));
    await ctx.transaction((client) => client.query('INSERT INTO selftest_ledger (key, phase) VALUES ($1, $2)', [ctx.flowId, ctx.phase]));
    return { pid: process.pid, attempt: ctx.attempt, key: ctx.idempotencyKey };
  },
  obey: (ctx) => delay(FOR_EVER_MS, null, { signal: ctx.signal }),
  ignore: () => delay(FOR_EVER_MS),
  block: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FOR_EVER_MS),
  exit: () => process.exit(0),
  crash: () => {
    process.kill(process.pid, 'SIGKILL');
    return delay(FOR_EVER_MS);
  },
  reject: () => {
    void Promise.reject(new Error('nobody caught this'));
    return delay(FOR_EVER_MS);
  },
  hoard: () => {
    const hoard: string[][] = [];
    for (;;) hoard.push(Array.from({ length: 10_000 }, (_, index) => `${index} of ${hoard.length}`));
  },
  print: () => {
    process.stdout.write('a line on stdout\n');
    process.stderr.write('a line on stderr\n');
    for (let line = 0; line < 20_000; line += 1) process.stdout.write(`line ${line} ${'x'.repeat(100)}\n`);
    return 'printed';
  },
  breed: async (ctx) => {
    const grandchild = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' });
    await ctx.step('grandchild', () => grandchild.pid ?? 0);
    return delay(FOR_EVER_MS);
  },
  wait: async (ctx) => {
    await ctx.sleep('300ms');
    const child = await ctx.start('selftest.noop', {});
    return { child, pid: process.pid };
  },
  fail: () => {
    throw new Error('it fails as asked');
  },
};

export default defineFlow({
  name: 'test.isolated',
  version: 1,
  input,
  phases: ({ isolate, memoryMb, attempts, soft, hard }) => ({
    bad: {
      isolate: isolate && (memoryMb === undefined ? true : { memoryMb }),
      retry: { attempts, backoff: { type: 'fixed', delay: 50 } },
      timeout: { soft, hard },
      run: async (ctx: PhaseContext<Input>) => {
        await ctx.step(`pid-${ctx.attempt}`, () => process.pid);
        return BEHAVIOURS[ctx.input.mode](ctx);
      },
    },
    after: { needs: ['bad'], run: () => process.pid },
  }),
});
