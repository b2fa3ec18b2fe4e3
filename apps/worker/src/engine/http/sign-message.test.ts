import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { signatureHeaders, signingKeys } from './sign-message.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const secretOf = (sizeBytes: number) => `whsec_${Buffer.alloc(sizeBytes, 'k').toString('base64')}`;
const sign = (secrets: string, body: string, id = 'msg_1') =>
  signatureHeaders(signingKeys(secrets) ?? [], { id, sentAtMs: Date.now(), body });

describe('a signed message', () => {
  it('is accepted by the reference library, whatever its text', () => {
    fc.assert(
      fc.property(fc.json(), fc.uuid(), (body, id) => {
        expect(new Webhook(SECRET).verify(body, sign(SECRET, body, id))).toEqual(JSON.parse(body));
      }),
    );
  });

  it('is refused by it when the body, the id or the key is another one', () => {
    const headers = sign(SECRET, '{"a":1}');
    const verify = (body: string, changes: Record<string, string> = {}, secret = SECRET) =>
      new Webhook(secret).verify(body, { ...headers, ...changes });
    expect(verify('{"a":1}')).toEqual({ a: 1 });
    expect(() => verify('{"a":2}')).toThrow('No matching signature');
    expect(() => verify('{"a":1}', { 'webhook-id': 'msg_2' })).toThrow('No matching signature');
    expect(() => verify('{"a":1}', {}, secretOf(32))).toThrow('No matching signature');
  });

  it('is accepted by holders of the old and of the new secret while one replaces the other', () => {
    const headers = sign(`  ${secretOf(24)}\n${SECRET} `, '"text"');
    for (const secret of [SECRET, secretOf(24)]) expect(new Webhook(secret).verify('"text"', headers)).toBe('text');
  });
});

describe('a secret', () => {
  it.each([24, 32, 64])('may have %d bytes', (sizeBytes) => {
    expect(signingKeys(secretOf(sizeBytes))?.map((key) => key.length)).toEqual([sizeBytes]);
  });

  it.each([
    ['is empty', ''],
    ['is too short', secretOf(23)],
    ['is too long', secretOf(65)],
    ['has no prefix', SECRET.slice(6)],
    ['is no base64', `whsec_${'-'.repeat(40)}`],
    ['is one of two that is none', `${SECRET} whsec_short`],
  ])('that %s is none', (_, secret) => {
    expect(signingKeys(secret)).toBeUndefined();
  });
});
