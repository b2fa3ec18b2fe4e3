// The commands that start the whole stack: `up` and `demo`. They differ in what they do once it is ready.
import { resolve } from 'node:path';
import { readStackSettings } from '../stack/stack-settings.ts';
import type { StackFault } from '../stack/stack-fault.ts';
import { startStack, type Stack } from '../stack/start-stack.ts';
import type { CommandContext } from './command-context.ts';
import { interrupted } from './interruption.ts';

/** Runs until Ctrl-C. */
export function up(context: CommandContext): Promise<number> {
  return withStack(context, async (stack, signal) => {
    showWhereToLook(context, stack);
    await untilInterrupted(context, signal);
  });
}

/** Runs the demonstration, then ends (`exit`) or goes on until Ctrl-C. */
export function demo(context: CommandContext, { exit, lockfile }: { exit: boolean; lockfile: string | undefined }): Promise<number> {
  return withStack(context, async (stack, signal) => {
    const lockfilePath = lockfile === undefined ? undefined : resolve(context.userFolder, lockfile);
    // Imported when needed: `up` shall not wait for what only the demonstration loads.
    const { runDemo } = await import('../demo/run-demo.ts');
    await runDemo({ baseUrl: stack.baseUrl, adminKey: stack.adminKey, lockfilePath, out: context.out, signal });
    showWhereToLook(context, stack);
    if (!exit) await untilInterrupted(context, signal);
  });
}

// Whatever ends the work (its end, a fault, Ctrl-C, a service that cannot run), the stack is stopped before this returns or throws.
async function withStack(context: CommandContext, work: (stack: Stack, signal: AbortSignal) => Promise<void>): Promise<number> {
  const { root, env, reporter, interruption } = context;
  const settings = readStackSettings(env, root);
  const fatal = new AbortController();
  const signal = AbortSignal.any([interruption.signal, fatal.signal]);
  const onFatal = (fault: StackFault): void => fatal.abort(fault);
  const stack = await startStack({ root, settings, env, reporter, signal, onFatal, onKillable: interruption.onKillable });
  try {
    await work(stack, signal);
  } finally {
    const step = reporter.step('stopping', { text: 'workers, API, Redis, PostgreSQL' });
    await stack.stop();
    step.done('stopped everything that was started');
  }
  fatal.signal.throwIfAborted();
  return 0;
}

function showWhereToLook({ reporter, env }: CommandContext, { baseUrl, home }: Pick<Stack, 'baseUrl' | 'home'>): void {
  reporter.plain('');
  reporter.plain(`  Start page  ${baseUrl}/`);
  reporter.plain(`  API docs    ${baseUrl}/docs`);
  reporter.plain(`  Bull Board  ${baseUrl}/admin/queues`);
  reporter.plain(`  Admin key   ${env['MILLRACE_ADMIN_KEY'] ? 'the one in MILLRACE_ADMIN_KEY' : `in ${home}/admin-key`}`);
  reporter.plain(`  Logs        ${home}/logs`);
  reporter.plain('');
}

async function untilInterrupted({ reporter }: CommandContext, signal: AbortSignal): Promise<void> {
  reporter.plain('Ctrl-C stops all of it.');
  await interrupted(signal);
}
