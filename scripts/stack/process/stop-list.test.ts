// Stopping in reverse.
import { describe, expect, it } from '@jest/globals';
import { createStopList } from './stop-list.ts';

describe('createStopList', () => {
  it('stops the latest first, all of it, once, and throws the first failure at the end', async () => {
    const order: string[] = [];
    const list = createStopList();
    const item = (name: string, failure?: Error) => ({
      async stop() {
        order.push(name);
        if (failure !== undefined) throw failure;
      },
    });
    list.add(item('lock'));
    list.add(item('postgres'));
    list.addGroup([item('api', new Error('api would not')), item('worker')]);
    await expect(list.stopAll()).rejects.toThrow('api would not');
    await expect(list.stopAll()).rejects.toThrow('api would not');
    expect(order).toEqual(['api', 'worker', 'postgres', 'lock']);
  });
});
