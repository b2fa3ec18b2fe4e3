// Random stories of flows, told to the database and to a model of it in memory: after every step the two agree. LIFECYCLE_RUNS sets how many
// stories there are; a failure prints the seed, the path and the shortest story that shows it.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { brokenInvariants } from '../test-support/lifecycle/compare.ts';
import { createModel, type Model } from '../test-support/lifecycle/model.ts';
import { stepBoth } from '../test-support/lifecycle/step-both.ts';
import { aim, draw, flowShape, type Draw } from '../test-support/lifecycle/steps.ts';
import { STORIES } from '../test-support/lifecycle/stories.ts';
import { createWorld, stepWorld, viewOf, type World } from '../test-support/lifecycle/world.ts';
import { createStoreFixture, type StoreFixture } from '../test-support/store-fixture.ts';

const RUNS = Number(process.env['LIFECYCLE_RUNS'] ?? 25);
const STEPS_MAX = 120;
const TIME_MAX_MS = 120_000 + RUNS * 10_000;

let store: StoreFixture;
beforeAll(async () => {
  store = await createStoreFixture();
}, 60_000);
afterAll(() => store.close());

type StoryCommand = fc.AsyncCommand<Model, World> & { toString(): string };

function command(drawn: Draw): StoryCommand {
  let told = 'not told';
  return {
    check: (model) => aim(drawn, model.flows) !== undefined,
    run: async (model, world) => {
      const step = aim(drawn, model.flows);
      told = JSON.stringify(step);
      if (step !== undefined) await stepBoth(model, world, step);
    },
    toString: () => told,
  };
}

it.each(Object.entries(STORIES))('tells with the model: %s', async (_title, steps) => {
  const [model, world] = [createModel(), await createWorld(store)];
  for (const step of steps) await stepBoth(model, world, step);
  expect(await brokenInvariants(world)).toEqual([]);
});

it(
  'agrees with the model after every step',
  async () => {
    const first = flowShape.map((shape) => command({ shape, kind: 0, pick: 0, before: 0, choice: 0 }));
    const stories = fc.commands([first, draw.map(command)].slice(1), { maxCommands: STEPS_MAX, size: 'max' });
    await fc.assert(
      fc.asyncProperty(first, stories, async (begin, story) => {
        const [model, world] = [createModel(), await createWorld(store)];
        await begin.run(model, world);
        await fc.asyncModelRun(() => ({ model, real: world }), story);
        expect(await brokenInvariants(world)).toEqual([]);
      }),
      { numRuns: RUNS, endOnFailure: process.env['LIFECYCLE_SHRINK'] === 'no' },
    );
  },
  TIME_MAX_MS,
);

it(
  'keeps its rules when several steps happen at once',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(flowShape, { minLength: 2, maxLength: 4 }),
        fc.array(draw, { maxLength: STEPS_MAX, size: 'max' }),
        async (shapes, draws) => {
          const world = await createWorld(store);
          for (const shape of shapes) await stepWorld(world, { kind: 'create', shape });
          for (let at = 0; at < draws.length; at += 3) {
            const view = await viewOf(world);
            const steps = draws.slice(at, at + 3).flatMap((drawn) => aim(drawn, view) ?? []);
            await Promise.all(steps.map((step) => stepWorld(world, step)));
            expect(await brokenInvariants(world)).toEqual([]);
          }
        },
      ),
      { numRuns: Math.ceil(RUNS / 3), endOnFailure: true },
    );
  },
  TIME_MAX_MS,
);
