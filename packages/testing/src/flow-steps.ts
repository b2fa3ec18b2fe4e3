// What end-to-end tests do again and again: start a flow, wait for its end, read its events.
import { eventually } from './eventually.ts';
import type { RestClient } from './rest-client.ts';

export type FlowBody = {
  id: string;
  flow: string;
  status: string;
  run: number;
  outputs: Record<string, unknown>;
  error?: { code: string; message: string; phase?: string };
  phases: {
    id: string;
    name: string;
    status: string;
    attempts: number;
    output?: unknown;
    startedAt: string | null;
    finishedAt: string | null;
  }[];
};

export type EventBody = { seq: number; flowId: string; type: string; phase?: string; at: string; data: Record<string, unknown> };

const TERMINAL = ['completed', 'failed', 'cancelled'];

/** Starts a flow and answers its id. @throws when it is not accepted. */
export async function startFlow(client: RestClient, flow: string, input: unknown = {}): Promise<string> {
  const answer = await client.post<{ id: string }>('/v1/flows', { flow, input });
  if (answer.status !== 202) throw new Error(`the flow was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body.id;
}

export async function readFlowBody(client: RestClient, id: string): Promise<FlowBody> {
  const answer = await client.get<FlowBody>(`/v1/flows/${id}`);
  if (answer.status !== 200) throw new Error(`the flow was answered with ${answer.status}`);
  return answer.body;
}

/** The flow once it has ended. @throws when it has not within the time. */
export async function flowEnded(client: RestClient, id: string, withinMs = 20_000): Promise<FlowBody> {
  return eventually(
    async () => {
      const flow = await readFlowBody(client, id);
      if (!TERMINAL.includes(flow.status)) throw new Error(`flow ${id} is ${flow.status}`);
      return flow;
    },
    { withinMs },
  );
}

/** The flow once a phase of it runs. */
export async function phaseRunning(client: RestClient, id: string, withinMs = 20_000): Promise<FlowBody> {
  return eventually(
    async () => {
      const flow = await readFlowBody(client, id);
      if (!flow.phases.some((phase) => phase.status === 'running')) throw new Error(`no phase of ${id} runs`);
      return flow;
    },
    { withinMs },
  );
}

/** All events of a flow, page by page. */
export async function allEvents(client: RestClient, id: string): Promise<EventBody[]> {
  const events: EventBody[] = [];
  for (;;) {
    const page = await client.get<{ items: EventBody[] }>(`/v1/flows/${id}/events?limit=200&after=${events.at(-1)?.seq ?? 0}`);
    if (page.status !== 200) throw new Error(`the events were answered with ${page.status}: ${JSON.stringify(page.body)}`);
    events.push(...page.body.items);
    if (page.body.items.length === 0) return events;
  }
}
