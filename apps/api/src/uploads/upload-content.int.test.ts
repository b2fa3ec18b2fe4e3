// PUT …/content: what is taken, what is refused at once, what fails the import, and that nothing is left behind.
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { createImportApi, TEST_LIMITS, type ImportApi } from './test-support/import-api.ts';

const FILE = 'sku,quantity\na,1\nb,2\n';

describe('content of imports', () => {
  let api: ImportApi;
  beforeAll(async () => {
    api = await createImportApi();
    await api.client.send(
      '/v1/datasets/items',
      json('PUT', {
        columns: [
          { name: 'sku', type: 'text' },
          { name: 'quantity', type: 'integer' },
        ],
        key: ['sku'],
      }),
    );
  });
  afterAll(async () => {
    await api.close();
  });

  function json(method: string, body: unknown) {
    return { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  }
  const make = async (options: object = {}) => {
    const answer = await api.client.post<{ id: string }>('/v1/imports', { dataset: 'items', mode: 'insert', ...options });
    expect(answer.status).toBe(201);
    return answer.body.id;
  };
  const put = (id: string, body: Buffer | string, headers: Record<string, string> = {}) =>
    api.client.send(`/v1/imports/${id}/content`, { method: 'PUT', body: typeof body === 'string' ? body : new Uint8Array(body), headers });
  const read = async (id: string) => (await api.client.get(`/v1/imports/${id}`)).body;
  const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');

  it('takes a file, queues its first chunk, and says what it got', async () => {
    const id = await make();
    expect(await read(id)).toMatchObject({
      status: 'awaiting_content',
      format: 'auto',
      sizeBytes: null,
      bytesTotal: null,
      rowsInserted: 0,
      chunksTotal: null,
      maxRejects: null,
    });
    const answer = await put(id, FILE);
    expect([answer.status, answer.body]).toEqual([202, { id, status: 'queued', sizeBytes: FILE.length, sha256: sha256(FILE) }]);
    expect(api.jobs.at(-1)).toMatchObject({ generation: 1, delayMs: 0 });
    expect(await read(id)).toMatchObject({
      status: 'queued',
      format: 'csv',
      header: ['sku', 'quantity'],
      bytesTotal: FILE.length,
      bytesDone: 0,
      chunksTotal: 1,
      chunksDone: 0,
      sha256: sha256(FILE),
    });
  });

  const big = `sku,quantity\n${Array.from({ length: 20_000 }, (_, index) => `key-${index},${index}`).join('\n')}\n`;
  const packed: [string, Buffer, Record<string, string>][] = [
    ['gzip by its first bytes', gzipSync(big), {}],
    ['gzip by Content-Encoding', gzipSync(big), { 'content-encoding': 'gzip' }],
    ['gzip of several members', Buffer.concat([gzipSync(big.slice(0, 5_000)), gzipSync(big.slice(5_000))]), {}],
    ['gzip padded with zeros', Buffer.concat([gzipSync(big), Buffer.alloc(512)]), {}],
    ['zstd by its first bytes', zstdCompressSync(big), {}],
    ['zstd by Content-Encoding', zstdCompressSync(big), { 'content-encoding': 'zstd' }],
    [
      'zstd of several frames',
      Buffer.concat([zstdCompressSync(big.slice(0, 5_001)), zstdCompressSync(big.slice(5_001, 9_000)), zstdCompressSync(big.slice(9_000))]),
      {},
    ],
  ];
  it.each(packed)('unpacks %s', async (_name, bytes, headers) => {
    const id = await make();
    expect((await put(id, bytes, headers)).body).toMatchObject({ sizeBytes: bytes.length, sha256: sha256(bytes) });
    expect(await read(id)).toMatchObject({ status: 'queued', bytesTotal: big.length, sizeBytes: bytes.length });
  });

  const broken: [string, Buffer][] = [
    ['a gzip that is cut short', gzipSync(big).subarray(0, -7)],
    ['a gzip with a wrong checksum', flipped(gzipSync(big), -6)],
    ['rubbish behind a gzip', Buffer.concat([gzipSync(big), Buffer.from('rubbish')])],
    ['a zstd that is cut short', zstdCompressSync(big).subarray(0, -7)],
    ['rubbish behind a zstd', Buffer.concat([zstdCompressSync(big), Buffer.from('rubbish')])],
  ];
  it.each(broken)('fails the import as corrupt-archive for %s', async (_name, bytes) => {
    const id = await make();
    expect((await put(id, bytes)).status).toBe(202);
    expect(await read(id)).toMatchObject({
      status: 'failed',
      error: { code: 'corrupt-archive' },
      sizeBytes: bytes.length,
      sha256: sha256(bytes),
    });
  });

  function flipped(bytes: Buffer, at: number): Buffer {
    const copy = Buffer.from(bytes);
    copy[copy.length + at] = (copy.at(at) ?? 0) ^ 1;
    return copy;
  }

  const bombs: [string, Buffer][] = [
    ['more than the limit', zstdCompressSync(Buffer.from('sku,quantity\n'.padEnd(120_000_000, 'a,1\n')))],
    ['more than 200 times its size', gzipSync(Buffer.from('sku,quantity\n'.padEnd(80_000_000, 'a,1\n')), { level: 9 })],
  ];
  it.each(bombs)('fails the import as decompression-limit when it unpacks to %s, in flat memory', async (_name, bytes) => {
    const id = await make();
    const before = process.memoryUsage().rss;
    expect((await put(id, bytes)).status).toBe(202);
    expect(await read(id)).toMatchObject({ status: 'failed', error: { code: 'decompression-limit' } });
    expect(process.memoryUsage().rss - before).toBeLessThan(80_000_000);
  });

  const faulty: [string, string, object, object][] = [
    ['header-mismatch', 'sku,colour\na,red\n', {}, { line: 1 }],
    ['unterminated-quote', 'sku,quantity\na,1\nb,"2\nc,3\n', {}, { line: 3 }],
    ['record-too-large', `sku,quantity\na,1\n${'x'.repeat(TEST_LIMITS.recordBytesMax + 10)},2\n`, {}, { line: 3 }],
    ['unsupported-encoding', Buffer.from('\ufeffsku,quantity\na,1\n', 'utf16le').toString('latin1'), {}, {}],
  ];
  it.each(faulty)('answers 202 and fails the import as %s', async (code, content, options, error) => {
    const id = await make(options);
    const answer = await put(id, Buffer.from(content, code === 'unsupported-encoding' ? 'latin1' : 'utf8'));
    expect([answer.status, answer.body['status']]).toEqual([202, 'queued']);
    const failed = await read(id);
    expect(failed).toMatchObject({ status: 'failed', error: { code, ...error } });
    expect((await api.client.post(`/v1/imports/${id}/retry`)).status).toBe(409);
  });

  it('refuses what is empty, binary, too large or a form, and the import still awaits its content', async () => {
    const id = await make();
    expect((await put(id, '')).body).toMatchObject({ status: 422, code: 'empty-file' });
    expect((await put(id, gzipSync(''))).body).toMatchObject({ status: 422, code: 'empty-file' });
    expect((await put(id, '\n \n')).body).toMatchObject({ status: 422, code: 'empty-file' });
    expect((await put(id, Buffer.from('89504e470d0a1a0a00', 'hex'))).body).toMatchObject({ status: 415, code: 'unsupported-file' });
    expect((await put(id, gzipSync(gzipSync(FILE)))).body).toMatchObject({ status: 415, code: 'unsupported-file' });
    expect((await put(id, FILE, { 'content-encoding': 'br' })).body).toMatchObject({ status: 415, code: 'unsupported-media-type' });
    expect((await put(id, FILE, { 'content-type': 'multipart/form-data; boundary=x' })).body).toMatchObject({
      status: 415,
      code: 'unsupported-media-type',
    });
    const tooLarge = Buffer.alloc(TEST_LIMITS.uploadBytesMax + 1, 'a');
    expect((await put(id, tooLarge)).body).toMatchObject({ status: 413, code: 'payload-too-large' });
    expect((await undeclared(id, tooLarge)).body).toMatchObject({ status: 413, code: 'payload-too-large' });
    expect(await read(id)).toMatchObject({ status: 'awaiting_content' });
    expect((await put(id, FILE)).status).toBe(202);
  });

  const undeclared = (id: string, bytes: Buffer) =>
    api.client.send(`/v1/imports/${id}/content`, { method: 'PUT', body: new Blob([new Uint8Array(bytes)]).stream(), duplex: 'half' });

  it('takes content sent twice only when it is the same', async () => {
    const id = await make();
    await put(id, FILE);
    const again = await put(id, FILE);
    expect([again.status, again.body]).toEqual([200, { id, status: 'queued', sizeBytes: FILE.length, sha256: sha256(FILE) }]);
    expect((await undeclared(id, Buffer.from(FILE))).status).toBe(200);
    expect((await put(id, FILE.replace('1', '7'))).body).toMatchObject({ status: 409, code: 'invalid-state' });
    expect((await put(id, `${FILE}c,3\n`)).status).toBe(409);
    expect((await undeclared(id, Buffer.from(`${FILE}c,3\n`))).status).toBe(409);
  });

  it('refuses a second upload while one is under way', async () => {
    const id = await make();
    const socket = beginUpload(id);
    await eventually(async () => {
      expect(await slotOf(id)).toEqual(expect.any(String));
    });
    expect((await put(id, gzipSync(big))).status).toBe(409);
    socket.destroy();
    await eventually(async () => {
      expect((await put(id, gzipSync(big))).status).toBe(202);
    });
  });

  // A client that says it will send more than it does: the socket stays in our hands.
  const beginUpload = (id: string) => {
    const url = new URL(api.baseUrl);
    const socket = connect(Number(url.port), url.hostname);
    socket.write(
      `PUT /v1/imports/${id}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${api.adminKey}\r\ncontent-length: 100000\r\n\r\n${FILE}`,
    );
    return socket;
  };
  const slotOf = async (id: string) =>
    (await api.database.main.query<{ upload_id: string | null }>('SELECT upload_id FROM millrace.imports WHERE id = $1', [id])).rows[0]
      ?.upload_id;

  it('leaves neither file nor slot behind when the client goes away', async () => {
    const before = await api.files();
    const id = await make();
    const socket = beginUpload(id);
    await eventually(async () => expect(await slotOf(id)).not.toBeNull());
    expect((await put(id, FILE)).body).toMatchObject({ status: 409 });
    socket.destroy();
    await eventually(async () => expect([await slotOf(id), await api.files()]).toEqual([null, before]));
    expect(await read(id)).toMatchObject({ status: 'awaiting_content' });
    expect((await put(id, FILE)).status).toBe(202);
  });

  it('answers 408 when no byte comes for too long', async () => {
    const before = await api.files();
    const id = await make();
    const socket = beginUpload(id);
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString();
        if (text.includes('requestId')) resolve(text);
      });
    });
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('"code":"request-timeout"');
    await eventually(async () => expect([await slotOf(id), await api.files()]).toEqual([null, before]));
  });

  it("knows only the imports of the caller's workspace", async () => {
    const id = await make();
    const other = await api.clientOf('elsewhere');
    for (const answer of [
      await other.get(`/v1/imports/${id}`),
      await other.send(`/v1/imports/${id}/content`, { method: 'PUT', body: FILE }),
      await other.post(`/v1/imports/${id}/cancel`),
      await other.get(`/v1/imports/${id}/rejects`),
      await other.get('/v1/datasets/items'),
      await other.get('/v1/datasets/items/rows'),
    ])
      expect(answer.body).toMatchObject({ status: 404, code: 'not-found' });
    expect((await other.post('/v1/imports', { dataset: 'items', mode: 'insert' })).body).toMatchObject({
      status: 422,
      code: 'unknown-dataset',
      errors: [{ pointer: '/dataset' }],
    });
    expect((await other.get<{ items: unknown[] }>('/v1/imports')).body.items).toEqual([]);
  });

  it('removes the file of an import that is cancelled, and the dataset waits for imports under way', async () => {
    const before = await api.files();
    await api.client.send(
      '/v1/datasets/busy',
      json('PUT', {
        columns: [
          { name: 'sku', type: 'text' },
          { name: 'quantity', type: 'integer' },
        ],
      }),
    );
    const id = await make({ dataset: 'busy' });
    await put(id, FILE);
    expect((await api.files()).length).toBe(before.length + 1);
    expect((await api.client.send('/v1/datasets/busy', { method: 'DELETE' })).body).toMatchObject({ status: 409, code: 'invalid-state' });
    const cancelled = await api.client.post(`/v1/imports/${id}/cancel`);
    expect([cancelled.status, cancelled.body]).toMatchObject([202, { status: 'cancelled' }]);
    expect((await api.client.post(`/v1/imports/${id}/cancel`)).body).toMatchObject({ status: 409, detail: 'The import is cancelled.' });
    await eventually(async () => expect(await api.files()).toEqual(before));
    expect((await put(id, `${FILE}x`)).status).toBe(409);
    const waiting = await make({ dataset: 'busy' });
    expect((await api.client.send('/v1/datasets/busy', { method: 'DELETE' })).status).toBe(204);
    expect((await put(waiting, FILE)).body).toMatchObject({ status: 409, detail: 'The dataset of this import was deleted.' });
    await eventually(async () => expect(await api.files()).toEqual(before));
  });
});
