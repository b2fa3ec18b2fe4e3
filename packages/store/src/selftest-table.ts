// The table that `selftest.ledger` writes to. It exists only where selftest flows are switched on.
import pg from 'pg';

/** Not unique on purpose: an effect that is committed twice has to show as two rows. */
const CREATE = 'CREATE TABLE IF NOT EXISTS selftest_ledger (key text NOT NULL, phase text NOT NULL, at timestamptz NOT NULL DEFAULT now())';
const LOCK = 7_266_310_002;

/** Creates the table if it is not there. Safe from several processes at once. */
export async function ensureSelftestTable(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(`SELECT pg_advisory_xact_lock(${LOCK})`);
    await client.query(CREATE);
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
}
