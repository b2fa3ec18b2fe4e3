// What a discovery flow is started with.
import { z } from 'zod';

export const discoveryInputSchema = z.strictObject({
  /** A completed import whose rows are the inventory. */
  importId: z.uuid(),
  /** The day that ages and ends of life are judged by. Default: the day on which the flow was accepted. */
  asOf: z.iso.date().optional(),
  /** The major version of Node that the team runs, for packages that ask for a newer one. */
  nodeMajor: z.number().int().min(4).max(99).default(24),
});

export type DiscoveryInput = z.infer<typeof discoveryInputSchema>;
