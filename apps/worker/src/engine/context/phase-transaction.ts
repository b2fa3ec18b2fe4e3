// ctx.transaction: one PostgreSQL transaction per attempt, opened at the first call, committed together with the phase.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { TransactionClient } from '@millrace/sdk';
import { asAppError, connect, type Database, type PoolClient, type Queryable } from '@millrace/store';

export type PhaseTransaction = {
  /**
   * Runs `fn` inside the attempt's transaction; what a failing `fn` wrote is undone, what others wrote stays. Calls take turns; one inside
   * `fn` is a part of it, and `fn` has not ended before it.
   */
  run<T>(fn: (client: TransactionClient) => Promise<T>): Promise<T>;
  isOpen(): boolean;
  /** Runs `last` as the transaction's last statement and commits when it answers true; otherwise rolls back. Nothing can be run after it. */
  commit<T>(last: (client: Queryable) => Promise<{ commit: boolean; result: T }>): Promise<T>;
  /**
   * Rolls back if it is open; cuts the connection when a handler that was left behind does not give its turn back. Never fails.
   * Nothing can be run after it, so that whoever was left behind opens nothing that nobody would close.
   */
  rollback(): void;
};

/** A handler's own statement may still be on its way; one that hangs for other reasons must not keep a connection. */
const LEFT_BEHIND_MS = 1_000;
const HAS_ENDED = 'the transaction of this attempt has ended';

export function createPhaseTransaction(database: Pick<Database, 'long'>): PhaseTransaction {
  let opened: OpenTransaction | undefined;
  let used = false;
  let ended = false;
  const inTurn = createTurns();
  const scopes = new AsyncLocalStorage<Scope>();
  const close = async (statement: 'COMMIT' | 'ROLLBACK') => {
    const closing = opened;
    opened = undefined;
    if (closing === undefined) return;
    try {
      await closing.client.query(statement);
      closing.release();
    } catch (error) {
      closing.release(true);
      if (statement === 'COMMIT') throw closing.explain(error);
    }
  };
  const cut = () => {
    opened?.release(true);
    opened = undefined;
  };
  const refuseAfterEnd = async () => {
    if (ended) await close('ROLLBACK').then(() => Promise.reject(new Error(HAS_ENDED)));
  };
  return {
    run: (fn) => {
      used = true;
      const outer = scopes.getStore();
      // A turn of its own would be waited for by the turn that it is called in.
      if (outer?.isOpen === true)
        return outer.inTurn(() => (ended ? Promise.reject(new Error(HAS_ENDED)) : withSavepoint({ ...outer, depth: outer.depth + 1 }, fn)));
      return inTurn(async () => {
        await refuseAfterEnd();
        opened ??= await begin(database);
        // The wait for a connection may outlast the attempt, and nobody would close what is opened after its end.
        await refuseAfterEnd();
        return withSavepoint({ scopes, opened, depth: 0 }, fn);
      });
    },
    isOpen: () => opened !== undefined,
    commit: (last) =>
      inTurn(async () => {
        ended = true;
        if (opened === undefined) throw new Error('no transaction is open');
        const { client, explain } = opened;
        try {
          const { commit, result } = await last(client);
          await close(commit ? 'COMMIT' : 'ROLLBACK');
          return result;
        } catch (error) {
          await close('ROLLBACK');
          throw explain(error);
        }
      }),
    rollback: () => {
      ended = true;
      const rollback = () => close('ROLLBACK');
      if (used) callWhenLate(inTurn(rollback), cut);
    },
  };
}

function callWhenLate(work: Promise<void>, late: () => void): void {
  const timer = setTimeout(late, LEFT_BEHIND_MS);
  void work.finally(() => {
    clearTimeout(timer);
  });
}

// One connection can do one thing at a time: calls of one attempt take turns.
function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let turn: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = turn.then(work, work);
    turn = mine.catch(() => undefined);
    return mine;
  };
}

type OpenTransaction = {
  client: PoolClient;
  /** Gives the connection back; `broken` throws it away. */
  release(broken?: boolean): void;
  /** What a failure of the connection means for the attempt. */
  explain(error: unknown): unknown;
};

/** idle_in_transaction_session_timeout */
const IDLE_STATE = '25P03';
/** What the handler's statements brought about themselves: deadlocks, waits for locks, statements that took too long. They cost an attempt. */
const OWN_STATES = /^(40|55P03|57014|25P0)/;

async function begin(database: Pick<Database, 'long'>): Promise<OpenTransaction> {
  const client = await connect(database.long);
  let idled = false;
  const onError = (error: Error) => {
    idled ||= codeOf(error) === IDLE_STATE;
  };
  client.on('error', onError);
  const opened: OpenTransaction = {
    client,
    release: (broken = false) => {
      client.removeListener('error', onError);
      client.release(broken);
    },
    explain: (error) => {
      if (idled)
        return new Error(
          'the server ended the transaction because it was left idle: ctx.transaction is the last thing a handler should do',
          { cause: error },
        );
      return OWN_STATES.test(codeOf(error) ?? '') ? error : asAppError(error);
    },
  };
  try {
    await client.query('BEGIN');
    return opened;
  } catch (error) {
    opened.release(true);
    throw asAppError(error);
  }
}

/** A function that runs inside the transaction now. */
type Scope = {
  readonly scopes: AsyncLocalStorage<Scope>;
  readonly opened: OpenTransaction;
  /** How many functions it is called in. */
  readonly depth: number;
  readonly inTurn: ReturnType<typeof createTurns>;
  isOpen: boolean;
};

type Place = Pick<Scope, 'scopes' | 'opened' | 'depth'>;

// Only failures of this connection may mean "not now": what else `fn` throws, such as a refused connection to somewhere else, is its own.
async function withSavepoint<T>({ scopes, opened, depth }: Place, fn: (client: TransactionClient) => Promise<T>): Promise<T> {
  const { client } = opened;
  // A name for each depth: rolling back to a savepoint keeps it, so one of an inner call must not stand in for that of the outer one.
  const savepoint = `handler_${depth}`;
  const scope: Scope = { scopes, opened, depth, inTurn: createTurns(), isOpen: true };
  const query = async (sql: string, values?: readonly unknown[]) => {
    if (!scope.isOpen) throw new Error('the client of ctx.transaction was used after its function had ended');
    return explained(opened, () => client.query(sql, values === undefined ? undefined : [...values]));
  };
  // Inner calls that nobody awaited end first: they write under this savepoint.
  const end = () =>
    scope.inTurn(() => {
      scope.isOpen = false;
      return Promise.resolve();
    });
  try {
    await explained(opened, () => client.query(`SAVEPOINT ${savepoint}`));
    const result = await scopes.run(scope, () => fn({ query: query as TransactionClient['query'] }));
    await end();
    await explained(opened, () => client.query(`RELEASE SAVEPOINT ${savepoint}`));
    return result;
  } catch (error) {
    await end();
    await client.query(`ROLLBACK TO SAVEPOINT ${savepoint}`).catch(() => undefined);
    throw error;
  }
}

async function explained<T>(opened: OpenTransaction, send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    throw opened.explain(error);
  }
}

function codeOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
