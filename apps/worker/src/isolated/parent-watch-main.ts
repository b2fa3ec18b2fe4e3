// A thread beside an isolated handler that ends the process when the worker that started it is gone.
import { workerData } from 'node:worker_threads';
import { killGroup } from './kill-group.ts';

const CHECK_MS = 500;

const { parentPid } = workerData as { parentPid: number };
setInterval(() => {
  if (process.ppid !== parentPid && !killGroup(process.pid)) process.kill(process.pid, 'SIGKILL');
}, CHECK_MS);
