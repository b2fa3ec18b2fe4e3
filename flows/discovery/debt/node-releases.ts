// When each release line of Node began and ended, and what a range of versions means against that.
import semver from 'semver';

type NodeRelease = { line: string; startedAt: string; endOfLifeAt: string };

/** Source: schedule.json of the nodejs/Release repository, state of 2 July 2026. Lines after 27 are not announced there yet. */
const NODE_RELEASES: readonly NodeRelease[] = [
  { line: '0.8', startedAt: '2012-06-25', endOfLifeAt: '2014-07-31' },
  { line: '0.10', startedAt: '2013-03-11', endOfLifeAt: '2016-10-31' },
  { line: '0.12', startedAt: '2015-02-06', endOfLifeAt: '2016-12-31' },
  { line: '4', startedAt: '2015-09-08', endOfLifeAt: '2018-04-30' },
  { line: '5', startedAt: '2015-10-29', endOfLifeAt: '2016-06-30' },
  { line: '6', startedAt: '2016-04-26', endOfLifeAt: '2019-04-30' },
  { line: '7', startedAt: '2016-10-25', endOfLifeAt: '2017-06-30' },
  { line: '8', startedAt: '2017-05-30', endOfLifeAt: '2019-12-31' },
  { line: '9', startedAt: '2017-10-01', endOfLifeAt: '2018-06-30' },
  { line: '10', startedAt: '2018-04-24', endOfLifeAt: '2021-04-30' },
  { line: '11', startedAt: '2018-10-23', endOfLifeAt: '2019-06-01' },
  { line: '12', startedAt: '2019-04-23', endOfLifeAt: '2022-04-30' },
  { line: '13', startedAt: '2019-10-22', endOfLifeAt: '2020-06-01' },
  { line: '14', startedAt: '2020-04-21', endOfLifeAt: '2023-04-30' },
  { line: '15', startedAt: '2020-10-20', endOfLifeAt: '2021-06-01' },
  { line: '16', startedAt: '2021-04-20', endOfLifeAt: '2023-09-11' },
  { line: '17', startedAt: '2021-10-19', endOfLifeAt: '2022-06-01' },
  { line: '18', startedAt: '2022-04-19', endOfLifeAt: '2025-04-30' },
  { line: '19', startedAt: '2022-10-18', endOfLifeAt: '2023-06-01' },
  { line: '20', startedAt: '2023-04-18', endOfLifeAt: '2026-04-30' },
  { line: '21', startedAt: '2023-10-17', endOfLifeAt: '2024-06-01' },
  { line: '22', startedAt: '2024-04-24', endOfLifeAt: '2027-04-30' },
  { line: '23', startedAt: '2024-10-16', endOfLifeAt: '2025-06-01' },
  { line: '24', startedAt: '2025-05-06', endOfLifeAt: '2028-04-30' },
  { line: '25', startedAt: '2025-10-15', endOfLifeAt: '2026-06-01' },
  { line: '26', startedAt: '2026-05-05', endOfLifeAt: '2029-04-30' },
  { line: '27', startedAt: '2027-04-22', endOfLifeAt: '2030-04-30' },
];

type RuntimeJudgement = {
  /** `end-of-life`: no release line that is alive on that day is allowed. `too-new`: the team's major and all before it are excluded. */
  verdict: 'fine' | 'end-of-life' | 'too-new' | 'unreadable';
  /** The lines that are allowed and past their end; only for `end-of-life`. */
  lines: readonly string[];
};

export type RuntimeJudge = (range: string) => RuntimeJudgement;

/** Judges ranges of Node versions as of a day (ISO date, inclusive). Equal ranges are judged once. */
export function createRuntimeJudge(asOf: string, nodeMajor: number): RuntimeJudge {
  const alive = NODE_RELEASES.filter((release) => release.startedAt <= asOf && asOf <= release.endOfLifeAt);
  const dead = NODE_RELEASES.filter((release) => release.endOfLifeAt < asOf);
  const known = new Map<string, RuntimeJudgement>();
  return (text) => {
    const judgement = known.get(text) ?? judge({ text, alive, dead, nodeMajor });
    known.set(text, judgement);
    return judgement;
  };
}

type JudgeInput = { text: string; alive: readonly NodeRelease[]; dead: readonly NodeRelease[]; nodeMajor: number };

function judge({ text, alive, dead, nodeMajor }: JudgeInput): RuntimeJudgement {
  const range = semver.validRange(nodeRange(text));
  if (range === null) return { verdict: 'unreadable', lines: [] };
  if (!semver.intersects(range, `<${nodeMajor + 1}.0.0-0`)) return { verdict: 'too-new', lines: [] };
  if (alive.some((release) => allows(range, release))) return { verdict: 'fine', lines: [] };
  const lines = dead.filter((release) => allows(range, release)).map((release) => release.line);
  return lines.length > 0 ? { verdict: 'end-of-life', lines } : { verdict: 'fine', lines: [] };
}

function allows(range: string, release: NodeRelease): boolean {
  return semver.intersects(range, release.line.startsWith('0.') ? `~${release.line}.0` : `^${release.line}.0.0`);
}

// Exports write the range alone, or the whole "engines" object, or "node >=18".
function nodeRange(text: string): string {
  const inObject = /"node"\s*:\s*"([^"]*)"/.exec(text);
  return (inObject?.[1] ?? text).replace(/^node(?:\.?js)?\s*/i, '');
}
