// `npm run check` calls this for the Dockerfile and docker-compose.yml: prints every broken rule and exits with 1 if there is one.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lintCompose } from './lint-compose.ts';
import { lintDockerfile, parseDockerfile } from './lint-dockerfile.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const exists = (path: string): boolean => existsSync(join(root, path));

function workspaceFolders(): string[] {
  const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
  return workspaces.map((pattern) => pattern.split('/')[0] ?? '');
}

const dockerfile = read('Dockerfile');
const imageHasHealthcheck = parseDockerfile(dockerfile).some(({ keyword }) => keyword === 'HEALTHCHECK');
const faults = [
  ...lintDockerfile(dockerfile, { exists, dockerignore: read('.dockerignore'), workspaceFolders: workspaceFolders() }).map(
    (fault) => `Dockerfile: ${fault}`,
  ),
  ...lintCompose(read('docker-compose.yml'), { exists, envExample: read('.env.example'), imageHasHealthcheck }).map(
    (fault) => `docker-compose.yml: ${fault}`,
  ),
];

for (const fault of faults) process.stderr.write(`${fault}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
