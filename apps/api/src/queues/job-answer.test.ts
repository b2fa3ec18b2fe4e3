import { describe, expect, it } from '@jest/globals';
import type { StoredJob } from '@millrace/store';
import { jobAnswer, parseJobId } from './job-answer.ts';

const ID = '01970000-0000-7000-8000-000000000001';
const job = (changes: Partial<StoredJob>): StoredJob => ({
  queue: 'flow-phase',
  id: ID,
  subject_id: ID,
  subject_name: 'discovery',
  name: 'load',
  status: 'queued',
  generation: 3,
  dispatched: true,
  is_delayed: false,
  attempts: 0,
  attempt_max: 4,
  priority: 50,
  worker: null,
  error: null,
  due_at: null,
  started_at: null,
  finished_at: null,
  history: [],
  ...changes,
});

describe('parseJobId', () => {
  it.each([
    [ID, { id: ID, generation: null }],
    [`${ID.toUpperCase()}-12`, { id: ID, generation: 12 }],
  ])('reads %s', (text, expected) => {
    expect(parseJobId(text)).toEqual(expected);
  });

  it.each(['', 'x', `${ID}-`, `${ID}-0`, `${ID}-01`, `${ID}-x`, `${ID}-1-1`, `${ID}1`, `${ID}-9999999999`])('refuses %j', (text) => {
    expect(parseJobId(text)).toBeUndefined();
  });
});

describe('jobAnswer', () => {
  it.each<[string, Partial<StoredJob>]>([
    ['queued', {}],
    ['delayed', { is_delayed: true }],
    ['none', { dispatched: false }],
    ['none', { status: 'pending', dispatched: false }],
    ['delayed', { status: 'retrying' }],
    ['suspended', { status: 'waiting' }],
    ['running', { status: 'running' }],
    ['failed', { status: 'quarantined' }],
    ['completed', { status: 'completed' }],
  ])('says %s', (state, changes) => {
    expect(jobAnswer(job(changes), null)).toMatchObject({ id: `${ID}-3`, state, flow: 'discovery', phase: 'load' });
  });

  it('says of an earlier job that it is superseded, and knows no later one', () => {
    expect(jobAnswer(job({}), 2)).toMatchObject({ id: `${ID}-2`, state: 'superseded', latestGeneration: 3 });
    expect(jobAnswer(job({}), 4)).toBeUndefined();
  });

  it('names the import and the chunk', () => {
    const answer = jobAnswer(job({ queue: 'data-import', name: '7' }), null);
    expect(answer).toMatchObject({ importId: ID, chunk: 7 });
    expect(answer).not.toHaveProperty('flow');
  });
});
