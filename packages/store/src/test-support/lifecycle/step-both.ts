// One step of a story, done to the model and to the database: both must answer the same, and look the same afterwards.
import { expect } from '@jest/globals';
import { byStep, seenInDatabase, seenInModel } from './compare.ts';
import type { Model } from './model.ts';
import { stepModel, type Step } from './steps.ts';
import { claimOf, stepWorld, type World } from './world.ts';

export async function stepBoth(model: Model, world: World, step: Step): Promise<void> {
  const counts = model.flows.map(({ events }) => events.length);
  const rights = 'phase' in step ? claimOf(world, step) : undefined;
  const answer = await stepWorld(world, step);
  const expected = stepModel(model, step, rights);
  expect(answer).toBe(expected);
  const seen = await seenInDatabase(world);
  expect(byStep(seen, counts)).toEqual(byStep(seenInModel(model), counts));
  for (const flow of model.flows) flow.events = seen[flow.at]?.events ?? [];
}
