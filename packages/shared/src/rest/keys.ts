// API keys as clients make, see and lose them.
import { z } from 'zod';
import { LIMITS } from '../limits.ts';
import { ROLES } from '../roles.ts';
import { instantSchema, pageOf, pageQuery } from './common.ts';

const REQUESTS_PER_MINUTE_MAX = 10_000_000;
const workspaceName = z.string().regex(/^[a-z][a-z0-9_]{0,39}$/, 'must be a lower-case letter and up to 39 letters, digits or "_"');

/** Body of POST /v1/keys. */
export const newKeySchema = z
  .strictObject({
    name: z.string().min(1).max(200),
    role: z.enum(ROLES),
    workspace: workspaceName.optional().meta({
      description:
        "Only admins of the workspace `default` may name one that is not their own; it is made if it is new. Default: the caller's.",
    }),
    expiresAt: z.iso.datetime({ offset: true, error: 'must be RFC 3339 with an offset' }).optional(),
    requestsPerMinute: z
      .int()
      .min(0)
      .max(REQUESTS_PER_MINUTE_MAX)
      .optional()
      .meta({ description: `Default ${LIMITS.requestsPerMinute}; 0: no limit` }),
  })
  .meta({ id: 'NewKey', title: 'NewKey' });
export type NewKeyBody = z.infer<typeof newKeySchema>;

/** Query of the key routes: which workspace's keys. */
export const keyScopeQuery = z.strictObject({
  workspace: workspaceName.optional().meta({ description: 'Only for admins of the workspace `default`' }),
});
export const keyListQuery = keyScopeQuery.extend(pageQuery);

const keyShape = {
  id: z.uuid(),
  name: z.string(),
  role: z.enum(ROLES),
  workspace: z.string(),
  requestsPerMinute: z
    .int()
    .nullable()
    .meta({ description: `0: no limit; null: ${LIMITS.requestsPerMinute}` }),
  createdAt: instantSchema,
  expiresAt: instantSchema.nullable(),
};

export const keySchema = z.object(keyShape).meta({ id: 'Key', title: 'Key' });
export type KeyAnswer = z.infer<typeof keySchema>;

export const createdKeySchema = z
  .object({ ...keyShape, key: z.string().meta({ description: 'The key itself; shown only here' }) })
  .meta({ id: 'CreatedKey', title: 'CreatedKey' });
export const keyPageSchema = pageOf(keySchema);
