// What tests of imports do again and again: make a dataset, send a file, wait for the end.
import { eventually } from './eventually.ts';
import type { RestClient } from './rest-client.ts';

export type ImportBody = {
  id: string;
  status: string;
  rowsInserted: number;
  rowsUpdated: number;
  rowsUnchanged: number;
  rowsRejected: number;
  chunksTotal: number;
  chunksDone: number;
  error?: { code: string; message: string; line?: number };
};

export type NewImport = { dataset: string; mode: string; format?: string; content: string | Uint8Array; headers?: Record<string, string> };

/** Creates or evolves a dataset. @throws when it is refused. */
export async function putDataset(client: RestClient, name: string, body: unknown): Promise<void> {
  const answer = await client.send(`/v1/datasets/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.status !== 201 && answer.status !== 200)
    throw new Error(`the dataset was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
}

/** Sends a file as a new import and answers its id; the rows follow. */
export async function startImport(
  client: RestClient,
  { dataset, mode, format = 'csv', content, headers = {} }: NewImport,
): Promise<string> {
  const made = await client.post<{ id: string }>('/v1/imports', { dataset, mode, format });
  if (made.status !== 201) throw new Error(`the import was answered with ${made.status}: ${JSON.stringify(made.body)}`);
  const sent = await client.send(`/v1/imports/${made.body.id}/content`, {
    method: 'PUT',
    body: content as NonNullable<RequestInit['body']>,
    headers: { 'content-type': 'application/octet-stream', ...headers },
  });
  if (sent.status !== 202) throw new Error(`the content was answered with ${sent.status}: ${JSON.stringify(sent.body)}`);
  return made.body.id;
}

/** The import once it has ended. */
export async function importEnded(client: RestClient, id: string, withinMs = 30_000): Promise<ImportBody> {
  return eventually(
    async () => {
      const { body } = await client.get<ImportBody>(`/v1/imports/${id}`);
      if (!['completed', 'failed', 'cancelled'].includes(body.status)) throw new Error(`import ${id} is ${body.status}`);
      return body;
    },
    { withinMs },
  );
}
