// A flow that fails until it is mended, for tests of dead letters: it looks into a folder to see whether it is.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { defineFlow } from '@millrace/sdk';
import { z } from 'zod';

export default defineFlow({
  name: 'test.mending',
  version: 1,
  input: z.strictObject({ folder: z.string(), n: z.int() }),
  phases: {
    prepare: { run: () => 'ready' },
    load: {
      needs: ['prepare'],
      retry: { attempts: 1 },
      run: ({ input: { folder, n } }) => {
        const isMended = existsSync(path.join(folder, 'all')) || (n % 2 === 1 && existsSync(path.join(folder, 'odd')));
        if (!isMended) throw new TypeError(`order ${n} of "customer ${n * 7}" cannot be loaded`);
        return n;
      },
    },
  },
});
