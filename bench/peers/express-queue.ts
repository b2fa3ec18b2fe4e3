// The peer of a single POST: Express 5, a JSON body, queue.add, 202. Nothing in it is durable in PostgreSQL.
// Usage: node express-queue.ts <port>. Prints {"msg":"listening"}.
import { Queue } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';

const port = Number(process.argv[2]);
const queue = new Queue(`express-${process.pid}`, {
  connection: new Redis(process.env['REDIS_URL'] ?? '', { maxRetriesPerRequest: 1 }),
  prefix: '{raw}',
});
const app = express();
app.use(express.json());
app.post('/jobs', async (request, response) => {
  const job = await queue.add('noop', request.body, {
    attempts: 4,
    backoff: { type: 'exponential', delay: 60_000 },
    removeOnComplete: true,
  });
  response.status(202).json({ id: job.id, status: 'queued' });
});
app.listen(port, '127.0.0.1', () => process.stdout.write('{"msg":"listening"}\n'));
process.on('SIGTERM', () => {
  void queue.obliterate({ force: true }).then(() => process.exit(0));
});
