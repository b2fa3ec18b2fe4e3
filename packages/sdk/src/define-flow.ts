// How a flow is written: a name, a version, an input schema, and phases with what each needs.
import type { BackoffPolicy, Duration } from '@millrace/shared';
import type { z } from 'zod';
import type { PhaseContext } from './context.ts';

export type PhaseHandler<Input, Output = unknown> = (ctx: PhaseContext<Input>) => Promise<Output> | Output;

/** A phase that runs a handler, one that calls a service over HTTP, or one that waits for a signal. */
export type PhaseDefinition<Input = unknown, Output = unknown> = RunDefinition<Input, Output> | HttpDefinition<Input> | WaitDefinition;

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

/** What a condition or a request is made from. */
export type PhaseFacts<Input> = { input: Input; outputs: Record<string, unknown> };

/** What every phase that takes a worker may say. */
export type WorkOptions<Input> = {
  /** Names of the phases whose results this one works on. It runs when all of them are completed, or skipped by their own condition. */
  needs?: readonly string[];
  /** False skips the phase; what needs it goes on without its output. Must have no effects: it may be asked again. */
  when?: (facts: PhaseFacts<Input>) => boolean;
  /** A rate limit of the flow's `limits` that decides when the phase is dispatched; `key` gives each value of it a limit of its own. */
  rateLimit?: { name: string; key?: (facts: { input: Input }) => string };
  /** Default: 4 attempts, exponential from 60 s, at most 10 min, a fifth of it random. */
  retry?: { attempts?: number; backoff?: BackoffPolicy };
  /** Soft: the signal aborts. Hard: the attempt ends as failed whatever the handler does. Default 25 min and 30 min. */
  timeout?: { soft?: Duration; hard?: Duration };
  /** A resource that only one running phase may hold, over all flows and processes of the workspace. */
  lock?: (ctx: { input: Input }) => string;
};

export type RunDefinition<Input = unknown, Output = unknown> = WorkOptions<Input> & {
  run: PhaseHandler<Input, Output>;
  /**
   * Runs every attempt in a child process of its own, which is killed with all it started when it does not end in time. Its death fails the
   * attempt (`process-exited`) and harms nobody else. Costs the start of a process per attempt. `memoryMb`: what its JavaScript heap may grow
   * to, 64 to 65,536; default: what Node allows itself. Memory outside the heap, such as buffers, is not counted.
   */
  isolate?: boolean | { memoryMb?: number };
};

/** What a service is sent as JSON, and what `body` of an http phase is made from. */
export type HttpMessage<Input = unknown> = PhaseFacts<Input> & {
  flowId: string;
  flow: string;
  version: number;
  phase: string;
  run: number;
  /** 1 for the first attempt. The header webhook-id is the same for every delivery of one attempt. */
  attempt: number;
  /** The same for every attempt of this phase in this run. */
  idempotencyKey: string;
  /** Where to send the result of an answer with 202, and the bearer token that allows it. */
  callback: { url: string; token: string };
};

/**
 * A phase in any language: a signed POST to a service (Standard Webhooks), whose answer, at once or by callback, is the output.
 * `timeout` and `lock` hold for the request; a phase that waits for its callback holds neither a lock nor a worker.
 */
export type HttpDefinition<Input = unknown> = WorkOptions<Input> & {
  http: {
    /** http: or https:, without a user name or password in it. Redirects are not followed. */
    url: string | ((facts: PhaseFacts<Input>) => string);
    /** Makes the JSON body from the message that is sent by default. At most 16 MiB. */
    body?: (message: HttpMessage<Input>) => unknown;
    /** Sent as well. A function is called for every request, so that secrets are read when they are needed and kept nowhere. */
    headers?: Readonly<Record<string, string>> | (() => Readonly<Record<string, string>>);
    /**
     * Signs the request: `whsec_` and 24 to 64 bytes in base64, as Standard Webhooks has it; several, separated by blanks, while one replaces
     * the other. Default: MILLRACE_HTTP_SECRET of the worker. Without either the phase fails: nothing is sent unsigned.
     */
    secret?: () => string | undefined;
    /** How long an answer with 202 leaves for the callback. Default 24 h, at most 24 days. */
    callbackTimeout?: Duration;
  };
};

/** So many units in each period. All windows of a limit hold at the same time. */
export type RateWindow = { max: number; per: Duration };

export type PhaseTable<Input> = Readonly<Record<string, PhaseDefinition<Input>>>;

export type FlowDefinition<Input = unknown> = {
  /** `[a-z][a-z0-9._-]*`, at most 100 characters; unique among all definitions. */
  name: string;
  /** A positive integer. A flow keeps the version it was started with. */
  version: number;
  input: z.ZodType<Input>;
  /** The phases, or how many and which they are for this input (evaluated once, at start). */
  phases: PhaseTable<Input> | ((input: Input) => PhaseTable<Input>);
  /** Rate limits by name, for `rateLimit` of phases and `ctx.rateLimit`. They are shared by all flows of the workspace that name them. */
  limits?: Readonly<Record<string, readonly RateWindow[]>>;
  /** Signals that handlers wait for with ctx.waitFor and that may come before. */
  signals?: readonly string[];
  /** The longest time from the flow's start to its end. Default: none. */
  timeout?: Duration;
  /** A flow that has not started after this time fails as expired. Default: it waits for ever. */
  expiresIn?: Duration;
  /** How long ended flows are kept, how many of them, and whether they are archived before they are deleted. Default: 90 days. */
  retention?: { age?: Duration; count?: number; archive?: boolean };
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
