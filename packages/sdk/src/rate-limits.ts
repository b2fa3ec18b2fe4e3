// Rate limits of a definition: whether they are well formed, and which of them decides about a phase.
import { durationMs, limitKeyOf, type SlidingWindow } from '@millrace/shared';
import type { FlowDefinition, PhaseDefinition, PhaseTable, RateWindow } from './define-flow.ts';

const LIMIT_NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_.-]{0,99}$/;
const WINDOWS_MAX = 4;
const WINDOW_MS_MAX = 24 * 86_400_000;

/** The key of the limit that decides about a phase's dispatch: its name, and the value it is kept apart by. Null without one. */
export function rateKeyOf<Input>(phase: PhaseDefinition<Input> | undefined, input: Input): string | null {
  if (phase === undefined || 'waitFor' in phase || phase.rateLimit === undefined) return null;
  const { name, key } = phase.rateLimit;
  return limitKeyOf(name, key?.({ input }));
}

/** A limit's windows in milliseconds. Undefined when the definition has no such limit. */
export function windowsOf(definition: FlowDefinition, name: string): SlidingWindow[] | undefined {
  return definition.limits?.[name]?.map(({ max, per }) => ({ max, perMs: durationMs(per) }));
}

/** What is wrong with the limits and with the phases that name them. */
export function limitFaults<Input>(
  definition: Pick<FlowDefinition<Input>, 'limits'>,
  table: PhaseTable<Input>,
): { phase: string | null; message: string }[] {
  const limits = definition.limits ?? {};
  const broken = Object.entries(limits).flatMap(([name, windows]) =>
    LIMIT_NAME_PATTERN.test(name) && areWindows(windows)
      ? []
      : [{ phase: null, message: `limit "${name}" must have 1 to ${WINDOWS_MAX} windows, each a positive max per at most 24 days` }],
  );
  const unknown = Object.entries(table).flatMap(([phase, definition]) => {
    const name = 'waitFor' in definition ? undefined : definition.rateLimit?.name;
    return name === undefined || Object.hasOwn(limits, name)
      ? []
      : [{ phase, message: `it names the limit "${name}", which the flow does not have` }];
  });
  return [...broken, ...unknown];
}

function areWindows(windows: readonly RateWindow[]): boolean {
  return windows.length >= 1 && windows.length <= WINDOWS_MAX && windows.every(isWindow);
}

function isWindow({ max, per }: RateWindow): boolean {
  try {
    const perMs = durationMs(per);
    return Number.isInteger(max) && max > 0 && perMs > 0 && perMs <= WINDOW_MS_MAX;
  } catch {
    return false;
  }
}
