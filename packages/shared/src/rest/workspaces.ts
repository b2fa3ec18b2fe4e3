// Workspaces as clients see them, and what of them may be changed.
import { z } from 'zod';
import { instantSchema, pageOf, pageQuery } from './common.ts';

const WEIGHT_MAX = 100;

export const workspaceListQuery = z.strictObject(pageQuery);

const weight = z.int().min(1).max(WEIGHT_MAX).meta({
  description:
    'Its share in what the workers do while others wait too: a workspace of weight 3 gets three times as much as one of weight 1',
});

export const workspaceSchema = z
  .object({ name: z.string(), weight, createdAt: instantSchema })
  .meta({ id: 'Workspace', title: 'Workspace' });
export const workspacePageSchema = pageOf(workspaceSchema);

/** Body of PATCH /v1/workspaces/{name}. */
export const workspaceChangeSchema = z.strictObject({ weight }).meta({ id: 'WorkspaceChange', title: 'WorkspaceChange' });
