// Raw BullMQ: no-op jobs that are in the queue already, one worker process, best of four concurrencies.
import { startReady, type PeerProcess } from '../run-peer.ts';
import { drainRate, letGo } from '../work-rate.ts';
import { always, type CreateRival } from './rival.ts';

const JOBS = { full: 60_000, quick: 6_000 };
const CONCURRENCIES = [50, 100, 200, 300];

export const rawBullmq: CreateRival = ({ redisUrl }) => ({
  name: 'raw BullMQ',
  goal: 0.5,
  processesMax: 1,
  missing: always,
  settings: CONCURRENCIES.map((concurrency) => ({
    label: `concurrency ${concurrency}`,
    rate: async ({ quick }) => {
      const jobCount = quick ? JOBS.quick : JOBS.full;
      const peers: PeerProcess[] = [];
      try {
        await startReady({ file: 'raw-bullmq.ts', args: [jobCount, concurrency], env: { REDIS_URL: redisUrl } }, peers);
        const done = letGo(peers);
        return await drainRate(() => jobCount - done.total(), { jobCount });
      } finally {
        await Promise.all(peers.map((peer) => peer.stop()));
      }
    },
  })),
});
