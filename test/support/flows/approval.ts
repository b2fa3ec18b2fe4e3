// A flow with an approval in its middle, as a user would write it in a folder of his own.
import { defineFlow } from '@millrace/sdk';
import { z } from 'zod';

export default defineFlow({
  name: 'test.approval',
  version: 1,
  input: z.strictObject({ patience: z.templateLiteral([z.number(), z.enum(['ms', 's', 'm'])]) }),
  phases: ({ patience }) => ({
    draft: { run: () => 'draft' },
    approve: { needs: ['draft'], waitFor: { signal: 'approved', timeout: patience } },
    publish: { needs: ['draft', 'approve'], run: (ctx) => [ctx.outputs['draft'], ctx.outputs['approve']] },
  }),
});
