// A flow whose first phase is done by a service outside, wherever that is.
import { defineFlow } from '@millrace/sdk';
import { z } from 'zod';

export default defineFlow({
  name: 'test.service',
  version: 1,
  input: z.strictObject({
    url: z.url(),
    customer: z.string().default('c-1'),
    patience: z.templateLiteral([z.number(), z.enum(['ms', 's', 'm'])]),
  }),
  phases: ({ patience }) => ({
    score: {
      http: { url: ({ input }) => input.url, callbackTimeout: patience },
      retry: { attempts: 2, backoff: { type: 'fixed', delay: 50 } },
    },
    use: { needs: ['score'], run: (ctx) => ctx.outputs['score'] },
  }),
});
