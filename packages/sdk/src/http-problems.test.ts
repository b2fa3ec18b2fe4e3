import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { defineFlow, type HttpDefinition } from './define-flow.ts';
import { planPhases } from './plan-phases.ts';

const faultsOf = (http: Partial<HttpDefinition['http']>) => {
  const phases = { call: { http: { url: 'https://service.test/work', ...http } } };
  const planned = planPhases(defineFlow({ name: 'f', version: 1, input: z.unknown(), phases }), {});
  return planned.ok ? [] : planned.faults.map((fault) => fault.message);
};

describe('an http phase', () => {
  it.each<[string, Partial<HttpDefinition['http']>]>([
    ['nothing but an address', {}],
    ['an address that is made when it is needed', { url: () => 'later' }],
    ['headers', { headers: { 'X-Api-Version': '2', authorization: 'Bearer x' } }],
    ['a time for the callback', { callbackTimeout: '24d' }],
  ])('may have %s', (_, http) => {
    expect(faultsOf(http)).toEqual([]);
  });

  it.each<[string, Partial<HttpDefinition['http']>, string]>([
    ['an address that is none', { url: 'service/hush-hush' }, 'http.url must be an address that begins with http:// or https://'],
    ['another kind of address', { url: 'ftp://hush-hush/' }, 'http.url must be an address that begins with http:// or https://'],
    [
      'a password in its address',
      { url: 'https://me:hush-hush@service.test' },
      'http.url must not have a user name or password in it: use http.headers',
    ],
    ['a header that is ours', { headers: { 'Webhook-Id': 'hush-hush' } }, 'http.headers must not set webhook-id'],
    ['a header without a name', { headers: { '': 'hush-hush' } }, 'http.headers has a name that is none of a header'],
    ['a header with two lines', { headers: { 'x-a': 'hush\r\nhush' } }, 'http.headers: the value of x-a cannot be sent'],
    ['a time that is too long', { callbackTimeout: '25d' }, 'http.callbackTimeout must be a duration of at most 24 days'],
  ])('must not have %s, and is told so without its value', (_, http, message) => {
    expect(faultsOf(http)).toEqual([message]);
    expect(message).not.toContain('hush');
  });
});
