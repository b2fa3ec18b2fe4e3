// How fast a peer is: its best setting is found with one process, measured with more processes, and measured once more later, since the speed
// of a machine drifts.
import { mean } from '../percentile.ts';
import type { BenchOptions } from '../scenario.ts';
import type { Rival, RivalSetting } from './rival.ts';

export type RivalRates = {
  /** Its rate with so many processes or fewer, whichever is best; null when the peer was left out. */
  upTo(processes: number): number | null;
  /** Measures once more with the best setting. */
  again(): Promise<void>;
};

type Measure = (setting: RivalSetting, processes: number) => Promise<number>;

/** @param processCounts ascending, beginning with 1 */
export async function rivalRates(
  rival: Rival,
  { options, processCounts }: { options: BenchOptions; processCounts: readonly number[] },
): Promise<RivalRates> {
  const reason = await rival.missing();
  if (reason !== undefined) {
    options.say(`${rival.name} was left out: ${reason}`);
    return { upTo: () => null, again: () => Promise.resolve() };
  }
  const measure: Measure = async (setting, processes) => {
    const rate = await setting.rate({ processes, quick: options.quick });
    options.say(`${rival.name}, ${processes} process${processes === 1 ? '' : 'es'}, ${setting.label}: ${Math.round(rate)}/s`);
    return rate;
  };
  const best = await bestSetting(rival, measure);
  const rates = new Map(processCounts.filter((count) => count <= rival.processesMax).map((count) => [count, [] as number[]]));
  rates.get(1)?.push(best.rate);
  const measureWith = async (counts: Iterable<number>) => {
    for (const count of counts) rates.get(count)?.push(await measure(best.setting, count));
  };
  await measureWith([...rates.keys()].slice(1));
  return {
    upTo: (processes) => Math.max(...[...rates].filter(([count]) => count <= processes).map(([, measured]) => mean(measured))),
    again: () => measureWith(rates.keys()),
  };
}

async function bestSetting(rival: Rival, measure: Measure): Promise<{ setting: RivalSetting; rate: number }> {
  let best: { setting: RivalSetting; rate: number } | undefined;
  for (const setting of rival.settings) {
    const rate = await measure(setting, 1);
    if (best === undefined || rate > best.rate) best = { setting, rate };
  }
  if (best === undefined) throw new Error(`${rival.name} has no settings`);
  return best;
}
