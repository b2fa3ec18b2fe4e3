import { describe, expect, it } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { canWrite, createStreamClient, endClient, stallReason, writeTo } from './stream-client.ts';

const MIB = 1024 * 1024;

// A response whose peer takes bytes only when told to.
function stuckClient(): { client: ReturnType<typeof createStreamClient>; take(sizeBytes: number): void; ended(): unknown[] } {
  let waitingBytes = 0;
  const ends: unknown[] = [];
  const res = {
    write: (bytes: Buffer) => {
      waitingBytes += bytes.length;
      return waitingBytes < 1_000;
    },
    end: (bytes?: Buffer) => ends.push(bytes?.toString()),
    get writableLength() {
      return waitingBytes;
    },
  };
  const client = createStreamClient({
    res: res as unknown as ServerResponse,
    principal: { workspace: 'default', role: 'viewer', keyId: 'k', requestsPerMinute: 0 },
    subjectId: 's',
    untilEnd: false,
    position: 0,
    endSeq: 0,
    nextPingAtMs: 0,
    rotateAtMs: 0,
  });
  return {
    client,
    take: (sizeBytes) => {
      waitingBytes -= sizeBytes;
    },
    ended: () => ends,
  };
}

const at = (nowMs: number) => ({ nowMs, waitingBytesMax: MIB, waitingMsMax: 5_000 });

describe('stallReason', () => {
  it('cuts a client whose bytes have waited for more than 5 s', () => {
    const { client } = stuckClient();
    writeTo(client, Buffer.alloc(500));
    expect([stallReason(client, at(1_000)), stallReason(client, at(1_500)), stallReason(client, at(6_000))]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(stallReason(client, at(6_600))).toBe('too-slow');
  });

  it('leaves a slow client alone whose bytes all leave within 5 s, although some always wait', () => {
    const { client, take } = stuckClient();
    writeTo(client, Buffer.alloc(1_000));
    for (let nowMs = 1_000; nowMs < 60_000; nowMs += 500) {
      expect(stallReason(client, at(nowMs))).toBeUndefined();
      take(300);
      writeTo(client, Buffer.alloc(300));
    }
  });

  it('cuts a client for which more than 1 MiB waits', () => {
    const { client } = stuckClient();
    writeTo(client, Buffer.alloc(MIB + 1));
    expect(stallReason(client, at(0))).toBe('too-many-bytes');
  });
});

describe('a client', () => {
  it('is blocked when a write says so, though its bytes were taken', () => {
    const { client } = stuckClient();
    writeTo(client, Buffer.alloc(999));
    expect(canWrite(client)).toBe(true);
    writeTo(client, Buffer.alloc(1));
    expect(canWrite(client)).toBe(false);
  });

  it('ends once', () => {
    const { client, ended } = stuckClient();
    endClient(client, Buffer.from('bye'));
    endClient(client, Buffer.from('again'));
    expect(ended()).toEqual(['bye']);
    expect(canWrite(client)).toBe(false);
  });
});
