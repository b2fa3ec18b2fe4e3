// Locks shared by all processes: a token under a key with a time to live. They keep work from being done twice at a time;
// that nothing is committed twice is the business of the fence in PostgreSQL.
import type { RedisClient } from './connection.ts';

export type LockRequest = { key: string; token: string };

export type Locks = {
  /** Tries to take each lock; answers one boolean per request in order. A token that holds a lock already gets it again. */
  acquire(requests: readonly LockRequest[], ttlMs: number): Promise<boolean[]>;
  /** Extends each lock that its token still holds; answers one boolean per request. */
  renew(requests: readonly LockRequest[], ttlMs: number): Promise<boolean[]>;
  /** Gives back each lock that its token still holds. */
  release(requests: readonly LockRequest[]): Promise<void>;
};

// KEYS[n] -> lock, ARGV[1] -> ttl in ms, ARGV[n + 1] -> token. Returns 1 or 0 per lock.
const ACQUIRE = `
local answers = {}
for i, key in ipairs(KEYS) do
  if redis.call('SET', key, ARGV[i + 1], 'NX', 'PX', ARGV[1]) then answers[i] = 1
  elseif redis.call('GET', key) == ARGV[i + 1] then redis.call('PEXPIRE', key, ARGV[1]) answers[i] = 1
  else answers[i] = 0 end
end
return answers`;

// As above. PEXPIRE rather than SET: it works also when Redis is out of memory.
const RENEW = `
local answers = {}
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i + 1] then answers[i] = redis.call('PEXPIRE', key, ARGV[1]) else answers[i] = 0 end
end
return answers`;

// KEYS[n] -> lock, ARGV[n] -> token. Returns how many were released.
const RELEASE = `
local count = 0
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then count = count + redis.call('DEL', key) end
end
return count`;

type LockCommands = {
  millraceAcquire(keyCount: number, ...args: (string | number)[]): Promise<number[]>;
  millraceRenew(keyCount: number, ...args: (string | number)[]): Promise<number[]>;
  millraceRelease(keyCount: number, ...args: (string | number)[]): Promise<number>;
};

export function createLocks(client: RedisClient): Locks {
  client.defineCommand('millraceAcquire', { lua: ACQUIRE });
  client.defineCommand('millraceRenew', { lua: RENEW });
  client.defineCommand('millraceRelease', { lua: RELEASE });
  // ioredis adds defined commands at run time; their types are those above.
  const commands = client as unknown as LockCommands;
  const keysOf = (requests: readonly LockRequest[]) => requests.map((request) => request.key);
  const tokensOf = (requests: readonly LockRequest[]) => requests.map((request) => request.token);
  return {
    acquire: async (requests, ttlMs) =>
      (await commands.millraceAcquire(requests.length, ...keysOf(requests), ttlMs, ...tokensOf(requests))).map((answer) => answer === 1),
    renew: async (requests, ttlMs) => {
      if (requests.length === 0) return [];
      return (await commands.millraceRenew(requests.length, ...keysOf(requests), ttlMs, ...tokensOf(requests))).map(
        (answer) => answer === 1,
      );
    },
    release: async (requests) => {
      if (requests.length > 0) await commands.millraceRelease(requests.length, ...keysOf(requests), ...tokensOf(requests));
    },
  };
}
