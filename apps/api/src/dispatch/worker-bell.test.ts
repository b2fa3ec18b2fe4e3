import { describe, expect, it } from '@jest/globals';
import { createLogger } from '@millrace/process';
import { eventually } from '@millrace/testing';
import { createWorkerBell } from './worker-bell.ts';

const log = createLogger({ name: 'test', level: 'silent' });

describe('the bell', () => {
  it('is heard at once, and once more for all that rang meanwhile', async () => {
    const heard: string[] = [];
    const { ring } = createWorkerBell({
      log,
      publish: ({ type }) => {
        heard.push(type);
        return Promise.resolve();
      },
    });
    for (let n = 0; n < 100; n += 1) ring('admissions');
    ring('backlog');
    expect(heard).toEqual(['admissions', 'backlog']);
    await eventually(() => {
      expect(heard).toEqual(['admissions', 'backlog', 'admissions']);
    });
  });

  it('does not care whether anybody hears it', async () => {
    let rung = 0;
    const { ring } = createWorkerBell({
      log,
      publish: () => {
        rung += 1;
        return Promise.reject(new Error('away'));
      },
    });
    ring('backlog');
    ring('backlog');
    await eventually(() => {
      expect(rung).toBe(2);
    });
  });
});
