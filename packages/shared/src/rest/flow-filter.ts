// How clients say which flows they mean: as the query of a search and a count, and as an object in the body of a bulk action.
import { z } from 'zod';
import { LIMITS } from '../limits.ts';
import { FLOW_STATUSES, type FlowStatus } from '../statuses.ts';
import { instantQuery, pageQuery } from './common.ts';
import { parseInputMatch } from './input-match.ts';

export const TAG_KEY_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;
export const TAG_VALUE_CHARS_MAX = 256;
const INPUT_MATCHES_MAX = 10;
const TEXT_CHARS_MAX = 200;

const statuses = z
  .array(z.enum(FLOW_STATUSES))
  .min(1)
  .transform((list): FlowStatus[] => [...new Set(list)].sort());

const statusList = z
  .string()
  .transform((text) => text.split(','))
  .pipe(statuses);

const tagFilter = z
  .array(
    z.string().refine((text) => {
      const colon = text.indexOf(':');
      return colon > 0 && TAG_KEY_PATTERN.test(text.slice(0, colon)) && text.length - colon - 1 <= TAG_VALUE_CHARS_MAX;
    }, 'must be key:value'),
  )
  .max(LIMITS.tagsMax);

const inputFilter = z
  .array(
    z.string().superRefine((text, context) => {
      const match = parseInputMatch(text);
      if (!match.ok) context.addIssue({ code: 'custom', message: match.problem });
    }),
  )
  .max(INPUT_MATCHES_MAX);

const text = z.string().min(1).max(TEXT_CHARS_MAX);

const shared = {
  flow: z.string().min(1).max(100).optional().meta({ description: 'Name of a definition' }),
  tag: tagFilter.optional().meta({ description: '`key:value`, split at the first colon; given several times, all must match' }),
  createdAfter: instantQuery.optional().meta({ description: 'Exclusive' }),
  createdBefore: instantQuery.optional().meta({ description: 'Exclusive' }),
  finishedAfter: instantQuery.optional().meta({ description: 'Exclusive; only flows that have ended' }),
  finishedBefore: instantQuery.optional().meta({ description: 'Exclusive; only flows that have ended' }),
  error: text.optional().meta({ description: "Literal text, case ignored, in the error's phase, code or message" }),
  input: inputFilter.optional().meta({
    description:
      '`path:value`, such as `customer.id:42`: split at the first colon; dots separate the segments of the path, `items[].sku:x` means any element, a backslash takes the meaning from a dot or colon. A number, `true`, `false` or `null` matches that and the same characters as text; `"42"` in quotes only the text. Given several times, all must match.',
  }),
  q: text.optional().meta({ description: 'Literal text, case ignored, in id, flow name, tags, concurrency key or error' }),
};

/** The parts of a query that select flows, and the ones of it that may be repeated. */
export const flowCountQuery = z.strictObject({
  status: statusList.optional().meta({ description: `Comma list of ${FLOW_STATUSES.join(', ')}` }),
  ...shared,
});
export const FLOW_FILTER_REPEATABLE = ['tag', 'input'] as const;

/** Query of GET /v1/flows. */
export const flowListQuery = flowCountQuery.extend(pageQuery);
export type FlowListQuery = z.infer<typeof flowListQuery>;

/** The same as a JSON object: `status`, `tag` and `input` are arrays, or one text as in the query. */
export const flowFilterBody = z
  .strictObject({
    ...shared,
    status: z.union([statuses, statusList]).optional(),
    tag: z
      .union([
        tagFilter,
        z
          .string()
          .transform((one) => [one])
          .pipe(tagFilter),
      ])
      .optional(),
    input: z
      .union([
        inputFilter,
        z
          .string()
          .transform((one) => [one])
          .pipe(inputFilter),
      ])
      .optional(),
  })
  .meta({ id: 'FlowFilter', title: 'FlowFilter' });

/** What both come to. */
export type FlowFilterBody = z.infer<typeof flowFilterBody>;

export const flowCountSchema = z
  .object({
    count: z.int(),
    capped: z.boolean().meta({ description: 'True: there are at least this many; counting ended at its limit' }),
  })
  .meta({ id: 'FlowCount', title: 'FlowCount' });
