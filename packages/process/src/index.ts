// What every process needs whatever it does: configuration, log, clock, services, loops, write combining.
export { systemClock } from './clock.ts';
export type { Clock } from './clock.ts';
export { ConfigFault } from './config-fault.ts';
export { loadConfig } from './load-config.ts';
export type { Config, LoadedConfig } from './load-config.ts';
export { createLogger } from './logger.ts';
export type { Logger } from './logger.ts';
export { createLoop } from './loop.ts';
export type { Loop, LoopOptions, PassResult } from './loop.ts';
export { createMicroBatcher } from './micro-batcher.ts';
export type { MicroBatcher, MicroBatcherOptions } from './micro-batcher.ts';
export { runProcess } from './run-process.ts';
export type { ProcessFrame, RunningProcess } from './run-process.ts';
export { startAll, stopAll, withTimeout } from './service.ts';
export type { Service } from './service.ts';
