// The one table of who may do what: every operation with the role it needs. A route that is not listed here does not compile.
import type { Role } from '@millrace/shared';

/**
 * `public`: anybody. `loopback-or-viewer`: anybody from this machine, others need a key. `callback-token`: whoever has the token that a
 * service was sent; it is no key, and good for nothing else. A role includes those above it.
 */
export type Access = Role | 'public' | 'loopback-or-viewer' | 'callback-token';

export const ACCESS_TABLE = {
  createFlow: 'operator',
  createFlowBatch: 'operator',
  listFlows: 'viewer',
  readFlow: 'viewer',
  cancelFlow: 'operator',
  retryFlow: 'operator',
  sendSignal: 'operator',
  answerCallback: 'callback-token',
  pauseFlow: 'operator',
  resumeFlow: 'operator',
  explainFlow: 'viewer',
  listArchivedFlows: 'viewer',
  readArchivedFlow: 'viewer',
  listQueues: 'viewer',
  pauseQueue: 'operator',
  resumeQueue: 'operator',
  listWorkers: 'viewer',
  readJob: 'viewer',
  readFlowProgress: 'viewer',
  readFlowEvents: 'viewer',
  listDatasets: 'viewer',
  readDataset: 'viewer',
  putDataset: 'operator',
  deleteDataset: 'operator',
  readDatasetRows: 'viewer',
  createImport: 'operator',
  putImportContent: 'operator',
  listImports: 'viewer',
  readImport: 'viewer',
  readImportRejects: 'viewer',
  readImportEvents: 'viewer',
  cancelImport: 'operator',
  retryImport: 'operator',
  createSchedule: 'operator',
  listSchedules: 'viewer',
  readSchedule: 'viewer',
  listScheduleFires: 'viewer',
  pauseSchedule: 'operator',
  resumeSchedule: 'operator',
  runSchedule: 'operator',
  deleteSchedule: 'operator',
  createKey: 'admin',
  listKeys: 'admin',
  revokeKey: 'admin',
  readLiveness: 'public',
  readReadiness: 'public',
  readRedisHealth: 'loopback-or-viewer',
  readMetrics: 'loopback-or-viewer',
  readOpenApi: 'public',
  readDocsPage: 'public',
  readDocsAsset: 'public',
  readHomePage: 'public',
} as const satisfies Record<string, Access>;

export type OperationId = keyof typeof ACCESS_TABLE;
