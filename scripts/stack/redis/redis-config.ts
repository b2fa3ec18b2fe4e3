// The configuration file of the embedded Redis. A file, because the password must not show in the list of processes. Pure.

export type RedisConfig = {
  /** Address to listen on: 127.0.0.1, or all addresses inside a container. */
  bind: string;
  port: number;
  /** Folder of the append-only file, as the server sees it. */
  dir: string;
  password: string;
};

/** Durable as Redis can be without a write per command: append-only file, synced every second, nothing ever evicted. */
export function redisConfigText({ bind, port, dir, password }: RedisConfig): string {
  const lines = [
    `bind ${bind}`,
    `port ${port}`,
    `dir ${quote(dir)}`,
    `requirepass ${quote(password)}`,
    'daemonize no',
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
  ];
  return `${lines.join('\n')}\n`;
}

// Double quotes with backslash escapes, as redis.conf reads them.
const quote = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/** Major and minor version out of `redis-server --version` ("Redis server v=7.0.15 ...", "Valkey server v=8.1.1 ..."). */
export function parseRedisVersion(output: string): { product: string; version: string; major: number; minor: number } | undefined {
  const match = /^(\w+) server v=((\d+)\.(\d+)[^\s]*)/m.exec(output);
  if (match === null) return undefined;
  return { product: match[1] ?? '', version: match[2] ?? '', major: Number(match[3]), minor: Number(match[4]) };
}
