// Starts the flow `discovery` and shows it live, phase by phase, from its event stream.
import { z } from 'zod';
import type { Step, StepReporter } from '../terminal/step-reporter.ts';
import type { ApiClient } from './client/api-client.ts';
import { followEvents } from './client/follow-events.ts';
import { DemoError } from './demo-error.ts';

const BAR_WIDTH = 16;
const END_EVENTS = ['flow.completed', 'flow.failed', 'flow.cancelled'];

const createdSchema = z.object({ id: z.string() });
const eventSchema = z.object({ phase: z.string().nullish(), data: z.unknown().optional() });
const progressSchema = z.object({ phase: z.string(), fraction: z.number(), message: z.string().nullish() });
const flowSchema = z.object({
  status: z.string(),
  error: z.unknown().optional(),
  phases: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      output: z.unknown().optional(),
      error: z.unknown().optional(),
      startedAt: z.string().nullish(),
      finishedAt: z.string().nullish(),
    }),
  ),
});

export type FlowResult = { flowId: string; phases: readonly { name: string; durationMs: number | null }[]; report: unknown };

type FlowOptions = { client: ApiClient; reporter: StepReporter; importId: string; isLive: boolean; signal: AbortSignal };

/** Runs the flow to its end. @throws DemoError when it does not complete, naming the phase that failed. */
export async function runDiscovery({ client, reporter, importId, isLive, signal }: FlowOptions): Promise<FlowResult> {
  const { id } = await client.get({ method: 'POST', path: '/v1/flows', json: { flow: 'discovery', input: { importId } } }, createdSchema);
  const shown = createPhaseDisplay(reporter, isLive);
  try {
    for await (const { event, data } of followEvents({
      client,
      path: `/v1/flows/${id}/events?until=end`,
      signal,
      isEnd: (message) => END_EVENTS.includes(message.event ?? ''),
    }))
      shown.take(event ?? '', data);
  } finally {
    shown.end();
  }
  const flow = await client.get({ method: 'GET', path: `/v1/flows/${id}` }, flowSchema);
  if (flow.status !== 'completed') throw new DemoError('failed', `The flow ${id} ended as ${flow.status}.`, { advice: failedPhases(flow) });
  const report = flow.phases.find((phase) => phase.name === 'report')?.output;
  return {
    flowId: id,
    phases: flow.phases.map(({ name, startedAt, finishedAt }) => ({ name, durationMs: spanMs(startedAt, finishedAt) })),
    report,
  };
}

type PhaseDisplay = { take(event: string, data: string): void; end(): void };

/** One line per phase. `isLive`: the line of what runs is redrawn with a bar; else a line at the start and one at the end. */
function createPhaseDisplay(reporter: StepReporter, isLive: boolean): PhaseDisplay {
  const steps = new Map<string, Step>();
  const finish = (phase: string, text: string | null) => {
    const step = steps.get(phase);
    if (text === null) step?.fail();
    else step?.done(text);
    steps.delete(phase);
  };
  const events: Record<string, (phase: string) => void> = {
    'phase.started': (phase) => void (steps.has(phase) || steps.set(phase, reporter.step(phase, { text: 'running', announce: true }))),
    'phase.completed': (phase) => finish(phase, 'completed'),
    'phase.retrying': (phase) => finish(phase, 'failed, will be tried again'),
    'phase.failed': (phase) => finish(phase, 'failed'),
  };
  return {
    take(event, data) {
      const body: unknown = JSON.parse(data);
      const progress = event === 'progress' ? progressSchema.safeParse(body) : undefined;
      if (progress?.success === true && isLive) steps.get(progress.data.phase)?.update(progressText(progress.data, steps.size === 1));
      const parsed = eventSchema.safeParse(body);
      if (parsed.success && parsed.data.phase) events[event]?.(parsed.data.phase);
    },
    end: () => [...steps.keys()].forEach((phase) => finish(phase, null)),
  };
}

// All that runs shares one line of the terminal, so that a message has room only when one phase runs alone.
function progressText({ fraction, message }: z.infer<typeof progressSchema>, alone: boolean): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${Math.round(fraction * 100)} %${alone && message ? ` ${message}` : ''}`;
}

function failedPhases(flow: z.infer<typeof flowSchema>): string[] {
  const failed = flow.phases.filter((phase) => phase.status === 'failed' || phase.status === 'quarantined');
  return failed.map((phase) => `${phase.name}: ${JSON.stringify(phase.error ?? phase.status)}`);
}

function spanMs(startedAt: string | null | undefined, finishedAt: string | null | undefined): number | null {
  return startedAt && finishedAt ? Date.parse(finishedAt) - Date.parse(startedAt) : null;
}
