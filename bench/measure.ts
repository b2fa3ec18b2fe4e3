// One figure of ours beside one of a peer's, from the same run.

export type Measurement = {
  scenario: string;
  metric: string;
  unit: string;
  ours: number;
  peer: number | null;
  peerName: string | null;
  ratio: number | null;
  goal: number | null;
  /** Null when there is no goal or no peer to hold it against. */
  ok: boolean | null;
};

/** @param higherIsBetter false for latencies: then the ratio must not exceed the goal. */
export function measurement(figure: Omit<Measurement, 'ratio' | 'ok'> & { higherIsBetter?: boolean }): Measurement {
  const { higherIsBetter = true, ...rest } = figure;
  const ratio = rest.peer === null || rest.peer === 0 ? null : rest.ours / rest.peer;
  const ok = ratio === null || rest.goal === null ? null : higherIsBetter ? ratio >= rest.goal : ratio <= rest.goal;
  return {
    ...rest,
    ours: round(rest.ours),
    peer: rest.peer === null ? null : round(rest.peer),
    ratio: ratio === null ? null : round(ratio),
    ok,
  };
}

/** Three significant digits below 100, whole numbers above. */
function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

/** A table for people. */
export function formatTable(measurements: readonly Measurement[]): string {
  const header = ['scenario', 'metric', 'ours', 'peer', 'ratio', 'goal', ''];
  const rows = measurements.map((m) => [
    m.scenario,
    `${m.metric} (${m.unit})`,
    m.ours.toLocaleString('en'),
    m.peer === null ? '-' : `${m.peer.toLocaleString('en')} ${m.peerName ?? ''}`,
    m.ratio === null ? '-' : String(m.ratio),
    m.goal === null ? '-' : String(m.goal),
    m.ok === null ? '' : m.ok ? 'ok' : 'MISSED',
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
