// One figure of ours beside one of a peer's, from the same run, and whether it reaches its goal.

export type Measurement = {
  scenario: string;
  metric: string;
  unit: string;
  ours: number;
  peer: number | null;
  peerName: string | null;
  ratio: number | null;
  goal: number | null;
  /** Null when there is no goal, or when the peer to hold it against was not measured. */
  ok: boolean | null;
};

type What = Pick<Measurement, 'scenario' | 'metric' | 'unit' | 'ours'>;

/**
 * A figure beside its peer's: the goal is a ratio, ours by theirs.
 * @param figure.peer null when the peer was left out
 * @param figure.higherIsBetter default true; false: the ratio must not exceed the goal
 */
export function besidePeer(
  figure: What & { peer: number | null; peerName: string; goal: number | null; higherIsBetter?: boolean },
): Measurement {
  const { higherIsBetter = true, ...rest } = figure;
  const ratio = rest.peer === null || rest.peer === 0 ? null : rest.ours / rest.peer;
  return {
    ...rest,
    ours: rounded(rest.ours),
    peer: rest.peer === null ? null : rounded(rest.peer),
    ratio: ratio === null ? null : rounded(ratio),
    ok: reaches(ratio, rest.goal, higherIsBetter),
  };
}

/** A figure that has no peer: a latency or a size, whose goal is the most that it may be. */
export function alone(figure: What & { goal: number | null }): Measurement {
  return {
    ...figure,
    ours: rounded(figure.ours),
    peer: null,
    peerName: null,
    ratio: null,
    ok: reaches(figure.ours, figure.goal, false),
  };
}

// Judged before rounding: 0.4996 does not reach 0.5.
function reaches(value: number | null, goal: number | null, higherIsBetter: boolean): boolean | null {
  if (value === null || goal === null) return null;
  return higherIsBetter ? value >= goal : value <= goal;
}

/** Three significant digits below 100, whole numbers above. */
function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

/** A table for people. */
export function formatTable(measurements: readonly Measurement[]): string {
  const header = ['scenario', 'metric', 'ours', 'peer', 'ratio', 'goal', ''];
  const rows = measurements.map((m) => [
    m.scenario,
    `${m.metric} (${m.unit})`,
    m.ours.toLocaleString('en'),
    m.peer === null ? (m.peerName === null ? '-' : `left out: ${m.peerName}`) : `${m.peer.toLocaleString('en')} ${m.peerName ?? ''}`,
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
