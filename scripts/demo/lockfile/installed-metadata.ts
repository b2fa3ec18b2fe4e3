// What the installed packages say about themselves in their package.json. A package that is not installed says nothing, which is fine.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

// Old packages hold anything in these fields: what has another shape is left out, and the rest is still used.
const manifestSchema = z.object({
  license: z.unknown().optional(),
  licenses: z.unknown().optional(),
  homepage: z.string().optional().catch(undefined),
  repository: z
    .union([z.string(), z.object({ url: z.string() })])
    .optional()
    .catch(undefined),
  author: z
    .union([z.string(), z.object({ name: z.string() })])
    .optional()
    .catch(undefined),
  keywords: z.array(z.string()).optional().catch(undefined),
});

export type InstalledMetadata = z.infer<typeof manifestSchema>;

const NOTHING: InstalledMetadata = {};

/** Reads `<folder>/<path>/package.json`; empty when there is none or it cannot be understood. */
export async function readInstalledMetadata(folder: string, path: string): Promise<InstalledMetadata> {
  try {
    const parsed = manifestSchema.safeParse(JSON.parse(await readFile(join(folder, path, 'package.json'), 'utf8')));
    return parsed.success ? parsed.data : NOTHING;
  } catch {
    // Not installed, unreadable or not JSON: the inventory then has only what the lockfile knows.
    return NOTHING;
  }
}
