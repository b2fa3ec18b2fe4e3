import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { PostAnswer } from './post-json.ts';
import { readAnswer } from './read-answer.ts';

const answer = (changes: Partial<PostAnswer> & { text?: string }): PostAnswer => ({
  status: 200,
  contentType: 'application/json',
  retryAfter: undefined,
  isCut: false,
  ...changes,
  bytes: changes.bytes ?? Buffer.from(changes.text ?? ''),
});
const read = (changes: Partial<PostAnswer> & { text?: string }, hidden: string[] = []) => readAnswer(answer(changes), 0, hidden);
const BINARY = Buffer.from([0xff, 0xd8, 0x00]);

describe('an answer that succeeded', () => {
  it.each<[string, Partial<PostAnswer> & { text?: string }, unknown]>([
    ['JSON', { text: '{"a":[1,null]}' }, { a: [1, null] }],
    ['JSON null', { text: 'null' }, null],
    ['JSON of a profile', { text: '[1]', contentType: 'application/vnd.api+json; charset=utf-8' }, [1]],
    ['JSON in capitals', { text: '2', contentType: 'Application/JSON' }, 2],
    ['text', { text: '{"a":1}', contentType: 'text/plain' }, '{"a":1}'],
    ['text with a word like json in its type', { text: '1', contentType: 'text/jsonish' }, '1'],
    ['JSON without a type', { text: '{"a":1}', contentType: undefined }, { a: 1 }],
    ['text without a type', { text: 'done', contentType: undefined }, 'done'],
    ['nothing', { status: 204, contentType: undefined }, null],
    ['nothing that is called JSON', { status: 201 }, null],
  ])('with %s becomes the output', (_, changes, output) => {
    expect(read(changes)).toEqual({ kind: 'output', output });
  });

  it('with 202 means that the result comes by callback', () => {
    expect(read({ status: 202, text: '{"queued":true}' })).toEqual({ kind: 'callback' });
    expect(read({ status: 202, bytes: BINARY, isCut: true })).toEqual({ kind: 'callback' });
  });

  it.each<[string, Partial<PostAnswer> & { text?: string }, string, boolean]>([
    ['JSON that is none', { text: '{"a":' }, 'http-answer-invalid', false],
    ['bytes that are no text', { bytes: BINARY, contentType: 'image/jpeg' }, 'http-answer-invalid', false],
    ['more than can be kept', { text: '"x', isCut: true }, 'http-answer-too-large', true],
  ])('with %s fails the attempt', (_, changes, code, permanent) => {
    expect(read(changes)).toMatchObject({ kind: 'failed', code, permanent });
  });
});

describe('an answer that refused', () => {
  it.each([408, 425, 429, 500, 502, 503, 504, 599])('with %d is worth another try', (status) => {
    expect(read({ status, text: '{"detail":"busy"}' })).toEqual({
      kind: 'failed',
      code: `http-${status}`,
      message: `the service answered ${status}: {"detail":"busy"}`,
      permanent: false,
    });
  });

  it.each([400, 401, 403, 404, 409, 410, 413, 422])('with %d is final', (status) => {
    expect(read({ status, retryAfter: '5' })).toEqual({
      kind: 'failed',
      code: `http-${status}`,
      message: `the service answered ${status}`,
      permanent: true,
    });
  });

  it('with a redirect is final and says why', () => {
    expect(read({ status: 307, contentType: undefined })).toMatchObject({
      permanent: true,
      message: 'the service answered 307 (redirects are not followed)',
    });
  });

  it('says when to come back', () => {
    expect(read({ status: 429, retryAfter: '30' })).toMatchObject({ retryAfterMs: 30_000 });
    expect(read({ status: 503, retryAfter: 'soon' })).not.toHaveProperty('retryAfterMs');
  });

  it('is quoted on one short line, without what is hidden, even where the cut goes through it', () => {
    const secret = 'mrcb_secret-secret-secret';
    const text = `${'x'.repeat(290)} ${secret}\n\t<b>\u0000\u0007${'y'.repeat(500)}`;
    const meaning = read({ status: 400, text }, [secret]);
    const message = meaning.kind === 'failed' ? meaning.message : '';
    expect(message).toContain('x [redacte');
    expect(message).not.toContain('mrcb_');
    expect(message.length).toBeLessThan(350);
  });

  it('can be quoted whatever its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const meaning = read({ status: 500, bytes: Buffer.from(bytes) });
        const message = meaning.kind === 'failed' ? meaning.message : '';
        expect(message.isWellFormed() && !/\p{Cc}/u.test(message) && message.length < 350).toBe(true);
      }),
    );
  });
});
