// `npm run bench -- [scenario...] [--json] [--quick] [--peers none]`: our side and its peers in turn, in one run, both figures shown.
import { parseArgs } from 'node:util';
import { describeConditions } from './conditions.ts';
import { formatTable, type Measurement } from './measure.ts';
import type { BenchOptions, Scenario } from './scenario.ts';
import { backlog } from './scenarios/backlog.ts';
import { batch } from './scenarios/batch.ts';
import { fairness } from './scenarios/fairness.ts';
import { latency } from './scenarios/latency.ts';
import { phases } from './scenarios/phases.ts';
import { post } from './scenarios/post.ts';

const SCENARIOS: readonly Scenario[] = [phases, post, batch, latency, fairness, backlog];
const EXIT_USAGE = 64;

function usage(problem: string): never {
  process.stderr.write(
    `bench: ${problem}\nusage: npm run bench -- [scenario...] [--json] [--quick] [--peers none]\n${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(10)} ${about}\n`).join('')}`,
  );
  process.exit(EXIT_USAGE);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        peers: { type: 'string', default: 'all' },
      },
    });
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error));
  }
}

const { values, positionals } = parse();
const unknown = positionals.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
if (unknown !== undefined) usage(`there is no scenario "${unknown}"`);
if (!['all', 'none'].includes(values.peers)) usage('--peers takes all or none');
const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } = process.env;
if (databaseUrl === undefined || redisUrl === undefined) usage('DATABASE_URL and REDIS_URL are not set');

const say = (line: string) => process.stderr.write(`  ${line}\n`);
const options: BenchOptions = { databaseUrl, redisUrl, quick: values.quick, peers: values.peers === 'all', say };
for (const line of await describeConditions(options)) say(line);
const measurements: Measurement[] = [];
let exitCode = 0;
for (const scenario of SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  process.stderr.write(`${scenario.name}: ${scenario.about}\n`);
  try {
    measurements.push(...(await scenario.run(options)));
  } catch (error) {
    // A goal that is missed is a figure; a scenario that could not be carried out is a failure, but the others' figures still count.
    exitCode = 1;
    process.stderr.write(
      `${scenario.name} could not be carried out: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
}
process.stdout.write(`${values.json ? JSON.stringify(measurements) : formatTable(measurements)}\n`);
process.exit(exitCode);
