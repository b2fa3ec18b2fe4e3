// Runs a flow's phases over rows in memory, for tests: the caller that the engine is in production, without its guarantees.
import type { FlowDefinition, ImportedRows, PhaseContext } from '@millrace/sdk';
import { planPhases, phaseTable } from '@millrace/sdk';

export type TestRow = Readonly<Record<string, string | null>>;

type PhaseRun = { outputs: Record<string, unknown>; progress: number[]; logs: string[] };

type PhaseRunOptions = {
  definition: FlowDefinition;
  input: unknown;
  rows: readonly TestRow[];
  columns?: readonly string[];
  batchSize?: number;
  signal?: AbortSignal;
};

/** A flow id of the day on which the fixtures were made. */
const TEST_FLOW_ID = uuidV7At('2026-11-20T10:00:00.000Z');

/** Runs every phase once, in the order of definition, with the outputs of what it needs, as JSON would hand them on. */
export async function runPhases({ definition, input, rows, columns, batchSize = 100, signal }: PhaseRunOptions): Promise<PhaseRun> {
  const parsed = definition.input.parse(input);
  const plan = planPhases(definition, parsed);
  if (!plan.ok) throw new Error(JSON.stringify(plan.faults));
  const table = phaseTable(definition, parsed);
  const names = plan.phases.map((phase) => phase.name);
  const run: PhaseRun = { outputs: {}, progress: [], logs: [] };
  const imported = importedRows(rows, columns ?? Object.keys(rows[0] ?? {}), batchSize);
  for (const phase of plan.phases) {
    const needed = Object.fromEntries(phase.needs.map((need) => [names[need] ?? '', run.outputs[names[need] ?? '']]));
    const ctx = createContext({
      phase: phase.name,
      input: parsed,
      outputs: needed,
      imported,
      run,
      signal: signal ?? new AbortController().signal,
    });
    const found = table[phase.name];
    if (found === undefined || !('run' in found)) throw new Error(`phase ${phase.name} has no handler`);
    const output: unknown = await found.run(ctx);
    run.outputs[phase.name] = JSON.parse(JSON.stringify(output));
  }
  return run;
}

type ContextParts = {
  phase: string;
  input: unknown;
  outputs: Record<string, unknown>;
  imported: ImportedRows;
  run: PhaseRun;
  signal: AbortSignal;
};

function createContext({ phase, input, outputs, imported, run, signal }: ContextParts): PhaseContext {
  const log = (message: string) => void run.logs.push(message);
  return {
    flowId: TEST_FLOW_ID,
    phase,
    workspace: 'default',
    input,
    outputs,
    attempt: 1,
    idempotencyKey: phase,
    signal,
    log: { debug: log, info: log, warn: log, error: log },
    progress: (fraction) => void run.progress.push(fraction),
    step: async (_name, fn) => fn(),
    lock: absent('lock'),
    sleep: absent('sleep'),
    waitFor: absent('waitFor'),
    start: absent('start'),
    rateLimit: absent('rateLimit'),
    usage: () => undefined,
    import: absent('import'),
    transaction: absent('transaction'),
    imported: () => Promise.resolve(imported),
  };
}

function absent(what: string): () => Promise<never> {
  return () => Promise.reject(new Error(`${what} is not there in this test`));
}

function importedRows(rows: readonly TestRow[], columns: readonly string[], batchSize: number): ImportedRows {
  return {
    dataset: 'software_inventory',
    columns: columns.map((name) => ({ name, type: 'text' })),
    rowCount: rows.length,
    async *batches() {
      for (let start = 0; start < rows.length; start += batchSize) yield await Promise.resolve(rows.slice(start, start + batchSize));
    },
  };
}

function uuidV7At(instant: string): string {
  const hex = Date.parse(instant).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
