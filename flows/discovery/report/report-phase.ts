// Phase `report`: puts the results of all phases together, for programs and for people.
import type { PhaseContext } from '@millrace/sdk';
import { z } from 'zod';
import type { DiscoveryInput } from '../discovery-input.ts';
import { renderMarkdown } from './markdown-page.ts';
import { buildReportDocument, reportDocumentSchema, reportPartsSchema } from './report-document.ts';

export const reportOutputSchema = z.object({ json: reportDocumentSchema, markdown: z.string() });

export type ReportOutput = z.infer<typeof reportOutputSchema>;

export function runReport(ctx: PhaseContext<DiscoveryInput>): ReportOutput {
  const json = buildReportDocument(ctx.input.importId, reportPartsSchema.parse(ctx.outputs));
  ctx.log.info(json.summary[0] ?? '');
  return { json, markdown: renderMarkdown(json) };
}
