// Reads a package-lock.json of version 2 or 3 and says clearly when a file is none. What its entries mean is left to others.
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { DemoError } from '../demo-error.ts';

const rangesSchema = z.record(z.string(), z.string());

/** Only what an inventory needs; everything else in an entry is ignored. */
const entrySchema = z.object({
  name: z.string().optional(),
  version: z.string().optional(),
  license: z.unknown().optional(),
  link: z.boolean().optional(),
  resolved: z.string().optional(),
  dev: z.boolean().optional(),
  optional: z.boolean().optional(),
  devOptional: z.boolean().optional(),
  hasInstallScript: z.boolean().optional(),
  deprecated: z.union([z.string(), z.boolean()]).optional(),
  engines: z.unknown().optional(),
  dependencies: rangesSchema.optional(),
  devDependencies: rangesSchema.optional(),
  optionalDependencies: rangesSchema.optional(),
  peerDependencies: rangesSchema.optional(),
  peerDependenciesMeta: z.record(z.string(), z.object({ optional: z.boolean().optional() })).optional(),
});

const lockfileSchema = z.object({ lockfileVersion: z.union([z.literal(2), z.literal(3)]), packages: z.record(z.string(), entrySchema) });

export type LockfileEntry = z.infer<typeof entrySchema>;
export type Lockfile = z.infer<typeof lockfileSchema>;

/** Far above any real lockfile: about a million packages. */
const LOCKFILE_BYTES_MAX = 400 * 1024 * 1024;

/** @throws DemoError naming the path when it cannot be read, is no JSON, or is no lockfile of version 2 or 3. */
export async function readLockfile(path: string): Promise<Lockfile> {
  const content = parseJson(await readText(path), path);
  const parsed = lockfileSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const version = typeof content === 'object' && content !== null && 'lockfileVersion' in content ? content.lockfileVersion : undefined;
  const what =
    version === 1 ? 'is a lockfile of version 1, which does not list packages by path' : 'is not a package-lock.json of version 2 or 3';
  throw new DemoError('usage', `${path} ${what}.`, {
    advice:
      version === 1
        ? ['npm 7 or newer makes a new one: npm install --package-lock-only']
        : [`At ${parsed.error.issues[0]?.path.join('.') || 'the top'}: ${parsed.error.issues[0]?.message ?? ''}`],
  });
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > LOCKFILE_BYTES_MAX)
      throw new DemoError('usage', `${path} is larger than ${LOCKFILE_BYTES_MAX / 1024 / 1024} MiB, which no lockfile is.`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof DemoError) throw error;
    const reason = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
    throw new DemoError('usage', `The lockfile ${path} cannot be read (${reason}).`, {
      advice: ['npm run demo -- --lockfile PATH'],
      cause: error,
    });
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DemoError('usage', `${path} is not JSON, so it is no package-lock.json.`, { cause: error });
  }
}
