import { describe, expect, it } from '@jest/globals';
import type { Principal } from '@millrace/shared';
import type { StreamClient } from './stream-client.ts';
import { createStreamRegister } from './stream-register.ts';

const principal = (keyId: string, workspace = 'default'): Principal => ({ workspace, role: 'viewer', keyId, requestsPerMinute: 0 });
const clientOf = (of: Principal) => ({ principal: of }) as StreamClient;

describe('createStreamRegister', () => {
  it('limits the streams of one key, and of the process', () => {
    const register = createStreamRegister({ streamsMax: 3, streamsPerKeyMax: ({ keyId }) => (keyId === 'wide' ? 10 : 1) });
    register.add(clientOf(principal('a')));
    expect([
      register.hasRoomFor(principal('a')),
      register.hasRoomFor(principal('a', 'other')),
      register.hasRoomFor(principal('wide')),
    ]).toEqual([false, true, true]);
    register.add(clientOf(principal('wide')));
    register.add(clientOf(principal('wide')));
    expect(register.hasRoomFor(principal('b'))).toBe(false);
  });

  it('keeps nothing of those who are gone, and tells when nobody is left', async () => {
    const register = createStreamRegister({ streamsMax: 3, streamsPerKeyMax: () => 1 });
    await register.whenEmpty();
    const client = clientOf(principal('a'));
    register.add(client);
    const empty = register.whenEmpty();
    register.remove(client);
    await empty;
    expect([register.clients.size, register.byKey.size, register.hasRoomFor(principal('a'))]).toEqual([0, 0, true]);
  });
});
