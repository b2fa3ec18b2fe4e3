// `npm run migrate`: brings DATABASE_URL to the schema of this code and ends. Exit 0 done, or told to stop; 1 failed; 78 configuration fault.
import { runProcess } from '@millrace/process';
import { startMigration } from './start-migration.ts';

// It never speaks to Redis, and must not need it.
await runProcess('migrate', startMigration, { needsRedis: false });
