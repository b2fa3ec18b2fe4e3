// Writes docs/flow-lifecycle.md. With --check it writes nothing and exits with 1 when the page is not what it would write.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lifecyclePage } from './lifecycle-page.ts';

const path = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'docs/flow-lifecycle.md');
const page = lifecyclePage();

if (!process.argv.includes('--check')) writeFileSync(path, page);
else if (!existsSync(path) || readFileSync(path, 'utf8') !== page) {
  process.stderr.write('docs/flow-lifecycle.md does not match the tables of transitions: run "node scripts/docs/write-lifecycle.ts"\n');
  process.exitCode = 1;
}
