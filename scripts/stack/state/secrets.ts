// Makes and keeps the secrets of a state folder: the admin key and the passwords of the embedded servers. Each in a file of mode 0600.
import { randomBytes } from 'node:crypto';
import { chmodSync, statSync } from 'node:fs';
import { StackFault } from '../stack-fault.ts';
import { createStateFile, readStateFile, type StateFolder } from './state-folder.ts';

/** 30 bytes are exactly 40 characters of base64url. */
const randomText = (): string => randomBytes(30).toString('base64url');

export type AdminKey = { key: string; isNew: boolean };

/** The key kept in the folder; made (`mr_` and 40 random characters) the first time. */
export function keepAdminKey(folder: StateFolder): AdminKey {
  const { secret, isNew } = keepSecret(folder.adminKey, () => `mr_${randomText()}`);
  if (/^mr_[\x21-\x7e]{21,}$/.test(secret)) return { key: secret, isNew };
  throw new StackFault('corruptState', `${folder.adminKey} does not hold an admin key.`, {
    advice: [`Remove it to have a new one made: rm ${folder.adminKey}`],
  });
}

/** A password, made the first time. */
export function keepPassword(path: string): string {
  const { secret } = keepSecret(path, randomText);
  // It goes into URLs and configuration files, so nothing but these characters may be in it.
  if (/^[A-Za-z0-9_-]{20,}$/.test(secret)) return secret;
  throw new StackFault('corruptState', `${path} does not hold a password.`, {
    advice: ['Put the password back from a backup, or choose another state folder: MILLRACE_HOME=/some/folder'],
  });
}

function keepSecret(path: string, make: () => string): { secret: string; isNew: boolean } {
  const isNew = createMissing(path, make);
  // Somebody may have copied the folder with other modes.
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  return { secret: (readStateFile(path) ?? '').trim(), isNew };
}

function createMissing(path: string, make: () => string): boolean {
  return readStateFile(path) === undefined && createStateFile(path, `${make()}\n`);
}
