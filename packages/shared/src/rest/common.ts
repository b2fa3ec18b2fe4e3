// Pieces that many REST bodies and answers share. Query parameters arrive as text, so their schemas parse text.
import { z } from 'zod';
import { ERROR_TABLE, type ErrorCode } from '../error-table.ts';
import { LIMITS } from '../limits.ts';

/** RFC 3339 in UTC with milliseconds, as every answer has it. */
export const instantSchema = z.iso.datetime({ offset: true }).meta({ description: 'RFC 3339, UTC, with milliseconds' });

/** An instant that a client names. */
export const instantQuery = z.iso.datetime({ offset: true, error: 'must be RFC 3339 with an offset' });

/** A whole number written as text in a query. */
export function queryInteger(min: number, max: number) {
  return z
    .string()
    .regex(/^-?\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));
}

/** `limit` and `cursor` of every list. */
export const pageQuery = {
  limit: queryInteger(1, LIMITS.pageItemsMax)
    .default(LIMITS.pageItemsDefault)
    .meta({ description: `Items per page, ${LIMITS.pageItemsDefault} unless said` }),
  cursor: z.string().optional().meta({ description: '`nextCursor` of the page before, with the same filters' }),
};

/** A page of a list; `nextCursor` is null on the last one. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}

/** Every error answer (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.url().meta({ description: 'Stable; ends in the code' }),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    instance: z.string(),
    code: z.enum(Object.keys(ERROR_TABLE) as [ErrorCode, ...ErrorCode[]]),
    errors: z
      .array(
        z.object({
          pointer: z.string().meta({ description: 'JSON pointer into the body, or the name of a query parameter' }),
          code: z.string(),
          message: z.string(),
        }),
      )
      .optional()
      .meta({ description: 'With every 422' }),
    requestId: z.uuid(),
  })
  .meta({ id: 'Problem', title: 'Problem' });
export type ProblemBody = z.infer<typeof problemSchema>;
