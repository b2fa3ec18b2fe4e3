// Streams the result of a query as CSV, with PostgreSQL held back when the reader is slow.
import type { Readable } from 'node:stream';
import { to as copyTo } from 'pg-copy-streams';
import { connect, type Database, type PoolClient } from '../database.ts';

/**
 * The query's result as CSV with a header line. The connection goes back to its pool when the stream has ended; destroying the stream
 * early ends the connection, because the rest of the COPY would otherwise have to be read.
 * The server's statement time-out is off for it: a slow reader is the caller's to cut.
 * @param select without parameters, which COPY does not take: every value in it must be quoted
 */
export async function copyOut(database: Pick<Database, 'long'>, select: string): Promise<Readable> {
  const client = await connect(database.long);
  let released = false;
  const release = (broken: boolean) => {
    if (released) return;
    released = true;
    client.release(broken);
  };
  try {
    await client.query('SET statement_timeout = 0');
  } catch (error) {
    release(true);
    throw error;
  }
  const stream = client.query(copyTo(`COPY (${select}) TO STDOUT (FORMAT csv, HEADER true)`));
  let ended = false;
  stream.once('end', () => {
    ended = true;
    void giveBack(client).then(release, () => {
      release(true);
    });
  });
  stream.once('error', () => {
    release(true);
  });
  stream.once('close', () => {
    if (!ended) release(true);
  });
  return stream;
}

async function giveBack(client: PoolClient): Promise<boolean> {
  await client.query('RESET statement_timeout');
  return false;
}
