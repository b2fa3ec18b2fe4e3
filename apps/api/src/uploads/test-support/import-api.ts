// A server with the routes of datasets and imports alone, on a database and a storage folder of its own, with limits small enough to test.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createContentReceiver, type SpoolLimits } from '@millrace/imports';
import { createLogger, systemClock } from '@millrace/process';
import type { Dispatch } from '@millrace/shared';
import { createLocalStorage } from '@millrace/storage';
import { createKey, findKey, readInstance, type Database } from '@millrace/store';
import { createRestClient, createTestDatabase, type RestClient } from '@millrace/testing';
import { formatApiKey, newSecret } from '../../auth/api-key.ts';
import { createAuthenticator } from '../../auth/authenticator.ts';
import { createApp } from '../../http/create-app.ts';
import { createCursors } from '../../http/input/cursors.ts';
import { datasetRoutes } from '../../routes/dataset-routes.ts';
import { importRoutes } from '../../routes/import-routes.ts';
import { createImportActions } from '../import-actions.ts';
import { createUploadReceiver } from '../receive-upload.ts';

export const TEST_LIMITS: SpoolLimits = { uploadBytesMax: 3_000_000, unpackedBytesMax: 100_000_000, recordBytesMax: 100_000 };
const IDLE_MS = 400;

export type ImportApi = {
  readonly baseUrl: string;
  readonly adminKey: string;
  readonly database: Database;
  readonly client: RestClient;
  /** What was dispatched. */
  readonly jobs: Dispatch[];
  clientOf(workspace: string): Promise<RestClient>;
  /** Names of the stored files, unfinished ones included. */
  files(): Promise<string[]>;
  close(): Promise<void>;
};

export async function createImportApi(): Promise<ImportApi> {
  const { database, drop } = await createTestDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-upload-'));
  const storage = createLocalStorage({ folder });
  const log = createLogger({ name: 'test', level: 'silent' });
  const jobs: Dispatch[] = [];
  const dispatch = (_queue: string, dispatches: readonly Dispatch[]) => {
    jobs.push(...dispatches);
    return Promise.resolve();
  };
  const actions = createImportActions({
    database,
    storage,
    dispatcher: { dispatch },
    updates: { publishEvents: () => Promise.resolve() },
    log,
  });
  const content = createContentReceiver({ database, storage, announce: actions.announce, log, limits: TEST_LIMITS });
  const receive = createUploadReceiver({ receive: content, idleMs: IDLE_MS });
  const cursors = createCursors({ secret: async () => (await readInstance(database.main)).cursorSecret });
  const adminKey = `mr_${'a'.repeat(40)}`;
  const authenticator = createAuthenticator({ findKey: (id) => findKey(database.main, id), adminKey, clock: systemClock });
  const routes = [
    ...datasetRoutes({ database, cursors }),
    ...importRoutes({ database, cursors, clock: systemClock, receive, actions, uploadBytesMax: TEST_LIMITS.uploadBytesMax }),
  ];
  const server = createServer(createApp({ routes, authenticator, admit: () => undefined, log, onDone: () => undefined }));
  await listen(server);
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    baseUrl,
    adminKey,
    database,
    jobs,
    client: createRestClient({ baseUrl, key: adminKey }),
    clientOf: async (workspace) => {
      const { secret, secretHash } = newSecret();
      const key = await createKey(database, {
        workspace,
        name: 'test',
        role: 'operator',
        secretHash,
        requestsPerMinute: null,
        expiresAt: null,
      });
      return createRestClient({ baseUrl, key: formatApiKey({ id: key.id, secret }) });
    },
    files: () => readdir(folder),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
}
