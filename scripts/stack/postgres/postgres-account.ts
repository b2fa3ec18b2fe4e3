// Which user PostgreSQL runs as. It refuses to run as root, so root needs another one: `postgres`, made if the system has none.
import { readFileSync } from 'node:fs';
import { runOnce } from '../process/run-once.ts';
import { StackFault } from '../stack-fault.ts';

export type Account = { uid: number; gid: number };

const userName = 'postgres';

/** Undefined when we are not root: PostgreSQL then runs as the user we are. */
export async function postgresAccount(env: NodeJS.ProcessEnv, onCreate: () => void): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const known = await lookUp(env);
  if (known !== undefined) return known;
  await runOnce('groupadd', ['--system', userName], { env });
  const added = await runOnce(
    'useradd',
    ['--system', '--gid', userName, '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin', userName],
    { env },
  );
  const made = await lookUp(env);
  if (made !== undefined) {
    onCreate();
    return made;
  }
  throw new StackFault('unavailable', `PostgreSQL does not run as root, and a user for it could not be made: ${added.output.trim()}`, {
    advice: [
      'Run this command as another user, or make one: useradd --system postgres',
      'or name a PostgreSQL of your own: DATABASE_URL=postgresql://...',
    ],
  });
}

async function lookUp(env: NodeJS.ProcessEnv): Promise<Account | undefined> {
  return parsePasswd(passwdText(), userName) ?? (await lookUpById(env));
}

function passwdText(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8');
  } catch {
    // Systems that keep users elsewhere answer through `id`.
    return '';
  }
}

/** Finds a user in the text of /etc/passwd (name:password:uid:gid:...). */
export function parsePasswd(text: string, name: string): Account | undefined {
  const fields = text
    .split('\n')
    .map((line) => line.split(':'))
    .find(([user]) => user === name);
  return toAccount(fields?.[2], fields?.[3]);
}

async function lookUpById(env: NodeJS.ProcessEnv): Promise<Account | undefined> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => runOnce('id', [flag, userName], { env })));
  return uid?.code === 0 && gid?.code === 0 ? toAccount(uid.output.trim(), gid.output.trim()) : undefined;
}

function toAccount(uid: string | undefined, gid: string | undefined): Account | undefined {
  if (uid === undefined || gid === undefined || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return undefined;
  return uid === '0' ? undefined : { uid: Number(uid), gid: Number(gid) };
}
