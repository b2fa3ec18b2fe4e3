// `npm run migrate`: brings DATABASE_URL to the schema of this code and ends. Exit 0 done, 1 failed, 78 configuration fault.
import { migrate } from './migrate.ts';
import { ensureSelftestTable } from './selftest-table.ts';

const EXIT_CONFIG = 78;
const databaseUrl = process.env['DATABASE_URL'];
if (databaseUrl === undefined || !/^postgres(ql)?:$/.test(URL.parse(databaseUrl)?.protocol ?? '')) {
  process.stderr.write('migrate: DATABASE_URL must be the URL of a PostgreSQL database: postgres://…\n');
  process.exit(EXIT_CONFIG);
}
try {
  const applied = await migrate(databaseUrl);
  if (['1', 'true'].includes(process.env['MILLRACE_SELFTEST'] ?? '')) await ensureSelftestTable(databaseUrl);
  process.stdout.write(`${JSON.stringify({ msg: applied.length === 0 ? 'schema is up to date' : 'schema migrated', applied })}\n`);
} catch (error) {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  process.stderr.write(`migrate: ${error instanceof Error ? error.message : String(error)}${cause}\n`);
  process.exitCode = 1;
}
