// Remembered ports.
import { describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { keepPort, listenError, readPorts } from './server-ports.ts';
import { openStateFolder } from './state-folder.ts';

const root = temporaryFolder();

const newFolder = () => openStateFolder(mkdtempSync(join(root, 'test-')));

describe('keepPort', () => {
  it('remembers a port for each server', async () => {
    const folder = newFolder();
    const [postgres, redis] = await Promise.all([keepPort(folder, 'postgres'), keepPort(folder, 'redis')]);
    expect(readPorts(folder)).toEqual({ postgres, redis });
    expect(await keepPort(folder, 'redis')).toBe(redis);
  });

  it('takes another port when the remembered one is in use', async () => {
    const folder = newFolder();
    const port = await keepPort(folder, 'redis');
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    expect(await listenError(port, '127.0.0.1')).toBe('EADDRINUSE');
    const other = await keepPort(folder, 'redis');
    server.close();
    expect(other).not.toBe(port);
    expect(readPorts(folder).redis).toBe(other);
  });

  it.each(['', 'nonsense', '[]', '{"redis":"x"}', '{"redis":-1}', '{"redis":65536}'])('takes what is no port for none: %j', (text) => {
    const folder = newFolder();
    writeFileSync(folder.ports, text);
    expect(readPorts(folder)).toEqual({});
  });
});
