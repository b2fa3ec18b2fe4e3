// The only package that knows BullMQ.
export { createJobConsumer } from './job-consumer.ts';
export type { DeliveryOutcome, JobConsumer, JobConsumerOptions } from './job-consumer.ts';
export { createJobDispatcher } from './job-dispatcher.ts';
export type { JobDispatcher } from './job-dispatcher.ts';
export type { QueueConnectionOptions } from './queue-connection.ts';
