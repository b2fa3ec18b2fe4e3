// How a flow is written: a name, a version, an input schema, and phases with what each needs.
import type { BackoffPolicy, Duration } from '@millrace/shared';
import type { z } from 'zod';
import type { PhaseContext } from './context.ts';

export type PhaseHandler<Input, Output = unknown> = (ctx: PhaseContext<Input>) => Promise<Output> | Output;

/** A phase that runs a handler, or one that waits for a signal. */
export type PhaseDefinition<Input = unknown, Output = unknown> = RunDefinition<Input, Output> | WaitDefinition;

/** A phase that runs nothing: it waits, at no cost of a worker, until someone sends the signal. What was sent becomes its output. */
export type WaitDefinition = {
  needs?: readonly string[];
  waitFor: {
    /** Name of the signal, as in POST /v1/flows/{id}/signals/{name}. Letters, digits, '.', '_' and '-', 100 at most. */
    signal: string;
    /** The phase fails when the signal has not come by then. Absent: it waits for ever. */
    timeout?: Duration;
  };
};

export type RunDefinition<Input = unknown, Output = unknown> = {
  /** Names of the phases whose results this one works on. It runs when all of them are completed. */
  needs?: readonly string[];
  run: PhaseHandler<Input, Output>;
  /** Default: 4 attempts, exponential from 60 s, at most 10 min, a fifth of it random. */
  retry?: { attempts?: number; backoff?: BackoffPolicy };
  /** Soft: the signal aborts. Hard: the attempt ends as failed whatever the handler does. Default 25 min and 30 min. */
  timeout?: { soft?: Duration; hard?: Duration };
  /** A resource that only one running phase may hold, over all flows and processes of the workspace. */
  lock?: (ctx: { input: Input }) => string;
};

export type PhaseTable<Input> = Readonly<Record<string, PhaseDefinition<Input>>>;

export type FlowDefinition<Input = unknown> = {
  /** `[a-z][a-z0-9._-]*`, at most 100 characters; unique among all definitions. */
  name: string;
  /** A positive integer. A flow keeps the version it was started with. */
  version: number;
  input: z.ZodType<Input>;
  /** The phases, or how many and which they are for this input (evaluated once, at start). */
  phases: PhaseTable<Input> | ((input: Input) => PhaseTable<Input>);
};

/** Types a phase by the flow's input; with it, `needs` may be written out of line. */
export function definePhase<Input, Output>(phase: PhaseDefinition<Input, Output>): PhaseDefinition<Input, Output> {
  return phase;
}

/**
 * Declares a flow. The result is plain data: nothing is registered or started by it.
 * @example export default defineFlow({ name: 'hello', version: 1, input: z.object({ who: z.string() }), phases: { greet: { run: (ctx) => `Hello, ${ctx.input.who}` } } });
 */
export function defineFlow<Input>(definition: FlowDefinition<Input>): FlowDefinition {
  // The engine hands every handler an input that this definition's own schema has parsed, so the type may be forgotten here.
  return definition as unknown as FlowDefinition;
}
