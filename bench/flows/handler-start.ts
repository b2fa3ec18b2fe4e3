// A flow for measuring latency: its output is when its handler began, in milliseconds with fractions, by this machine's clock.
import { defineFlow } from '@millrace/sdk';
import { z } from 'zod';

export default defineFlow({
  name: 'bench.handler-start',
  version: 1,
  input: z.strictObject({}),
  phases: { only: { run: () => ({ startedAtMs: performance.timeOrigin + performance.now() }) } },
});
