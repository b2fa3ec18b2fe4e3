// What tests and benchmarks need to run Millrace for real: databases, processes, a client.
export { eventually } from './eventually.ts';
export { allEvents, flowEnded, phaseRunning, readFlowBody, startFlow } from './flow-steps.ts';
export type { EventBody, FlowBody } from './flow-steps.ts';
export { startOwnRedis } from './own-redis.ts';
export type { OwnRedis } from './own-redis.ts';
export { importEnded, putDataset, startImport } from './import-steps.ts';
export type { ImportBody, NewImport } from './import-steps.ts';
export { startFlows } from './post-flows.ts';
export { createRestClient } from './rest-client.ts';
export type { RestAnswer, RestClient } from './rest-client.ts';
export { startProcess } from './start-process.ts';
export type { LogEntry, StartOptions, TestProcess } from './start-process.ts';
export { ADMIN_KEY, createTestStack, freePort } from './start-stack.ts';
export type { StackOptions, TestStack } from './start-stack.ts';
export { createTestDatabase } from './test-database.ts';
export type { TestDatabase } from './test-database.ts';
