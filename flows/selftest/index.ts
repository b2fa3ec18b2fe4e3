// Small flows that show one behaviour each, for tests, benchmarks and anyone's own checks. Loaded only when selftest is switched on.
import type { FlowDefinition } from '@millrace/sdk';
import { chain, diamond, fan, noop, wait } from './shapes.ts';
import { flaky, fail, steps } from './failures.ts';
import { block, crash, ignore, sleep } from './behaviours.ts';
import { ledger } from './ledger.ts';

export const SELFTEST_FLOWS: readonly FlowDefinition[] = [
  noop,
  chain,
  diamond,
  fan,
  flaky,
  fail,
  steps,
  sleep,
  block,
  crash,
  ignore,
  ledger,
  wait,
];
