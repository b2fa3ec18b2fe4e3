// ctx.transaction: one PostgreSQL transaction per attempt, opened at the first call, committed together with the phase.
import type { TransactionClient } from '@millrace/sdk';
import { asAppError, connect, type Database, type PoolClient, type Queryable } from '@millrace/store';

export type PhaseTransaction = {
  /** Runs `fn` inside the attempt's transaction; what a failing `fn` wrote is undone, what others wrote stays. */
  run<T>(fn: (client: TransactionClient) => Promise<T>): Promise<T>;
  isOpen(): boolean;
  /** Runs `last` as the transaction's last statement and commits when it answers true; otherwise rolls back. */
  commit<T>(last: (client: Queryable) => Promise<{ commit: boolean; result: T }>): Promise<T>;
  /** Rolls back if it is open; cuts the connection when a handler that was left behind does not give its turn back. Never fails. */
  rollback(): void;
};

/** A handler's own statement may still be on its way; one that hangs for other reasons must not keep a connection. */
const LEFT_BEHIND_MS = 1_000;

export function createPhaseTransaction(database: Pick<Database, 'long'>): PhaseTransaction {
  let client: Promise<PoolClient> | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  // One connection can do one thing at a time: calls of one attempt take turns.
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work, work);
    turn = mine.catch(() => undefined);
    return mine;
  };
  const close = async (statement: 'COMMIT' | 'ROLLBACK') => {
    const open = await client;
    client = undefined;
    if (open === undefined) return;
    try {
      await open.query(statement);
      open.release();
    } catch (error) {
      open.release(error instanceof Error ? error : new Error(String(error)));
      if (statement === 'COMMIT') throw asAppError(error);
    }
  };
  return {
    run: (fn) =>
      inTurn(async () => {
        client ??= begin(database);
        return withSavepoint(await client, fn);
      }),
    isOpen: () => client !== undefined,
    commit: (last) =>
      inTurn(async () => {
        const open = await client;
        if (open === undefined) throw new Error('no transaction is open');
        try {
          const { commit, result } = await last(open);
          await close(commit ? 'COMMIT' : 'ROLLBACK');
          return result;
        } catch (error) {
          await close('ROLLBACK');
          throw asAppError(error);
        }
      }),
    rollback: () => {
      const cut = setTimeout(() => {
        const open = client;
        client = undefined;
        open?.then((connection) => { connection.release(true); }, () => undefined);
      }, LEFT_BEHIND_MS);
      void inTurn(() => close('ROLLBACK')).finally(() => { clearTimeout(cut); });
    },
  };
}

async function begin(database: Pick<Database, 'long'>): Promise<PoolClient> {
  const client = await connect(database.long);
  try {
    await client.query('BEGIN');
    return client;
  } catch (error) {
    client.release(true);
    throw asAppError(error);
  }
}

async function withSavepoint<T>(client: PoolClient, fn: (client: TransactionClient) => Promise<T>): Promise<T> {
  try {
    await client.query('SAVEPOINT handler');
    const result = await fn({ query: (sql, values) => client.query(sql, values === undefined ? undefined : [...values]) as never });
    await client.query('RELEASE SAVEPOINT handler');
    return result;
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT handler').catch(() => undefined);
    throw asAppError(error);
  }
}
