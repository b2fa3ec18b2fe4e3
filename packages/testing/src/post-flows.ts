// Starts many flows at once, as a program would: one batch, one result per line.
import type { RestClient } from './rest-client.ts';

/** @throws Error when the batch or a line of it is refused. */
export async function startFlows(
  client: RestClient,
  lines: readonly { flow: string; input: unknown; idempotencyKey?: string }[],
): Promise<string[]> {
  const body = lines.map((line) => JSON.stringify(line)).join('\n');
  const answer = await client.send<{ items: { id?: string; error?: unknown }[] }>('/v1/flows/batch', {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  });
  if (answer.status !== 202) throw new Error(`the batch was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body.items.map((item) => {
    if (item.id === undefined) throw new Error(`a line was refused: ${JSON.stringify(item.error)}`);
    return item.id;
  });
}
