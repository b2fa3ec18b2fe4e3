import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newGroupId } from '@millrace/shared';
import { createStoreFixture, type StoreFixture } from '../test-support/store-fixture.ts';
import { cancelFlow } from '../flows/cancel-flow.ts';
import { appendLogs, readEvents, readHeads } from './event-store.ts';
import { publicEvent } from './logged-event.ts';

let store: StoreFixture;
const lines = (...messages: string[]) => messages.map((message) => ({ level: 'info', message, data: {} }));

beforeAll(async () => {
  store = await createStoreFixture();
});

afterAll(async () => {
  await store.close();
});

describe('appendLogs', () => {
  it('writes lines in their order as the next events of the flow', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const [phase] = await store.claim([phaseId(0)]);
    if (phase === undefined) throw new Error('not claimed');
    const written = await appendLogs(store.database, phase, [
      ...lines('one', 'two'),
      { level: 'warn', message: 'three', data: { data: { n: 1 } } },
    ]);
    expect(written.map((event) => [event.seq, event.type, event.phase])).toEqual([
      [5, 'log', 'p0'],
      [6, 'log', 'p0'],
      [7, 'log', 'p0'],
    ]);
    expect((await store.events(flowId)).slice(4).map((event) => event.data)).toEqual([
      { level: 'info', message: 'one' },
      { level: 'info', message: 'two' },
      { level: 'warn', message: 'three', data: { n: 1 } },
    ]);
    expect(await store.story(flowId)).toHaveLength(7);
  });

  it('refuses a worker that lost the phase, and one whose flow was cancelled', async () => {
    const { flowId, phaseId } = await store.make([[]]);
    const [phase] = await store.claim([phaseId(0)]);
    if (phase === undefined) throw new Error('not claimed');
    expect(await appendLogs(store.database, { ...phase, fence: phase.fence - 1 }, lines('zombie'))).toEqual([]);
    await cancelFlow(store.database, { flowId, workspace: 'default', by: 'test' });
    expect(await appendLogs(store.database, phase, lines('late'))).toEqual([]);
    expect((await store.story(flowId)).at(-1)).toBe('flow.cancelled');
  });

  it('refuses what comes after the phase has ended', async () => {
    const { phaseId } = await store.make([[], []]);
    const phases = await store.claim([phaseId(0)]);
    await store.complete(phases);
    expect(await appendLogs(store.database, phases[0] ?? { id: '', name: '', fence: 0 }, lines('late'))).toEqual([]);
  });

  it('leaves no gap between lines and commits of one flow at the same time', async () => {
    const { flowId, phaseId } = await store.make(Array.from({ length: 8 }, () => []));
    const phases = await store.claim(Array.from({ length: 8 }, (_, n) => phaseId(n)));
    const [logging, ending] = [phases.slice(0, 4), phases.slice(4)];
    await Promise.all([
      ...logging.flatMap((phase) => Array.from({ length: 10 }, (_, n) => appendLogs(store.database, phase, lines(`${n}a`, `${n}b`)))),
      ...ending.map((phase) => store.complete([phase])),
    ]);
    const story = await store.story(flowId);
    expect(story.filter((line) => line.startsWith('log'))).toHaveLength(80);
    expect(story.filter((line) => line.startsWith('phase.completed'))).toHaveLength(4);
  });
});

describe('readEvents', () => {
  let flowId: string;

  beforeAll(async () => {
    const made = await store.make([[], []]);
    flowId = made.flowId;
    await store.complete(await store.claim([made.phaseId(0), made.phaseId(1)]));
  });

  const seqs = async (page: Omit<Parameters<typeof readEvents>[1], 'subjectId'>) =>
    (await readEvents(store.database.main, { subjectId: flowId, ...page })).map((event) => event.seq);

  it('answers the next ones after a number, ascending', async () => {
    expect(await seqs({ limit: 100 })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await seqs({ after: 2, limit: 3 })).toEqual([3, 4, 5]);
    expect(await seqs({ after: 9, limit: 3 })).toEqual([]);
  });

  it('answers the last ones before a number, ascending too', async () => {
    expect(await seqs({ before: 8, limit: 3 })).toEqual([5, 6, 7]);
    expect(await seqs({ before: 3, limit: 100 })).toEqual([1, 2]);
    expect(await seqs({ before: 1, limit: 100 })).toEqual([]);
  });

  it('answers only the types asked for', async () => {
    expect(await seqs({ types: ['phase.completed'], limit: 1 })).toEqual([7]);
    expect(await seqs({ types: ['phase.completed', 'flow.completed'], before: 100, limit: 2 })).toEqual([8, 9]);
  });

  it('hands events on as clients read them', async () => {
    const [first] = await readEvents(store.database.main, { subjectId: flowId, limit: 1 });
    if (first === undefined) throw new Error('there is no event');
    expect(publicEvent(first)).toEqual({
      seq: 1,
      flowId,
      type: 'flow.queued',
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      data: { flow: 'shape', version: 1 },
    });
  });
});

describe('readHeads', () => {
  it('answers the newest number of each subject that has events', async () => {
    const [one, other] = [await store.make([[]]), await store.make([[], []])];
    const heads = await readHeads(store.database.main, [one.flowId, newGroupId(), other.flowId]);
    expect(heads).toEqual(
      new Map([
        [one.flowId, 2],
        [other.flowId, 3],
      ]),
    );
    expect(await readHeads(store.database.main, [])).toEqual(new Map());
  });
});
