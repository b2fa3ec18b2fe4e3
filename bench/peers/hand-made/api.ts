// The hand-made flow's API, as a developer writes it: Express, a row per run in PostgreSQL, and a BullMQ job for its first step.
// Usage: node api.ts <port> <queue>. Prints {"msg":"listening"}.
import { Queue } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';
import pg from 'pg';
import { CREATE_TABLE, JOB_OPTIONS, QUEUE_PREFIX, STEPS, type StepJob } from './run-steps.ts';

const [port, queueName = ''] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 10 });
const queue = new Queue<StepJob>(queueName, {
  connection: new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: 1 }),
  prefix: QUEUE_PREFIX,
});
await pool.query(CREATE_TABLE);

const app = express();
app.use(express.json({ limit: '16mb' }));

app.post('/runs', async (request, response) => {
  const inserted = await pool.query<{ id: string }>('INSERT INTO runs (input) VALUES ($1) RETURNING id', [JSON.stringify(request.body)]);
  const id = inserted.rows[0]?.id ?? '';
  await queue.add(STEPS[0], { runId: id, step: 0 }, JOB_OPTIONS);
  response.status(202).json({ id, status: 'queued' });
});

// Many at once, as the batch of flows that it is measured against: one INSERT, one addBulk.
app.post('/runs/batch', async (request, response) => {
  const inserted = await pool.query<{ id: string }>(
    'INSERT INTO runs (input) SELECT value FROM jsonb_array_elements($1::jsonb) RETURNING id',
    [JSON.stringify(request.body)],
  );
  await queue.addBulk(inserted.rows.map(({ id }) => ({ name: STEPS[0], data: { runId: id, step: 0 }, opts: JOB_OPTIONS })));
  response.status(202).json({ items: inserted.rows.map(({ id }) => ({ id, status: 'queued' })) });
});

app.listen(Number(port), '127.0.0.1', () => process.stdout.write('{"msg":"listening"}\n'));
process.on('SIGTERM', () => {
  void queue.obliterate({ force: true }).then(() => process.exit(0));
});
