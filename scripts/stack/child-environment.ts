// The environment of the services: the user's own, with what the supervisor decided put over it. Pure.
import { delimiter, join } from 'node:path';

export type ChildSettings = {
  root: string;
  home: string;
  compileCache: string;
  databaseUrl: string;
  redisUrl: string;
  port?: number;
  adminKey?: string;
};

/** `env` with the repository's programs first on PATH, so that `node` means its Node 24 for whatever a child starts, however we were started ourselves. */
export function withRepositoryPrograms(env: NodeJS.ProcessEnv, root: string): NodeJS.ProcessEnv {
  return { ...env, PATH: [join(root, 'node_modules', '.bin'), ...(env['PATH'] === undefined ? [] : [env['PATH']])].join(delimiter) };
}

export function childEnvironment(env: NodeJS.ProcessEnv, settings: ChildSettings): NodeJS.ProcessEnv {
  return {
    ...withRepositoryPrograms(env, settings.root),
    DATABASE_URL: settings.databaseUrl,
    REDIS_URL: settings.redisUrl,
    MILLRACE_HOME: settings.home,
    NODE_COMPILE_CACHE: settings.compileCache,
    ...(settings.port === undefined ? {} : { MILLRACE_PORT: String(settings.port) }),
    ...(settings.adminKey === undefined ? {} : { MILLRACE_ADMIN_KEY: settings.adminKey }),
  };
}
