import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { newId } from '../ids.ts';
import { failureCause } from './failure-cause.ts';
import { incidentIdOf } from './incident-id.ts';

const cause = (message: string, code = 'Error') => failureCause({ code, message });

describe('the cause of a failure', () => {
  it.each([
    ['numbers', 'no order 42 for 3 customers', 'Error: no order <*> for <*> customers'],
    ['numbers with signs, separators and exponents', 'got -5 of 1,234,567.8 or 2.5e6', 'Error: got <*> of <*> or <*>'],
    ['durations and sizes, but not their unit', 'took 30000ms and 2.5MB, 99%', 'Error: took <*>ms and <*>MB, <*>%'],
    ['UUIDs', 'flow 0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee is gone', 'Error: flow <*> is gone'],
    ['hexadecimal digits', 'object 0xdeadbeef or 5f2b1c9a is bad', 'Error: object <*> or <*> is bad'],
    ['quoted values', `"a b" and 'c d' and \`e\` and “f”`, 'Error: <*> and <*> and <*> and <*>'],
    ['ids behind a prefix', 'user_123, cus_Nf9k2LmPq0 and run-8f3a9b2c', 'Error: user_<*>, cus_<*> and run-<*>'],
    ['ids without one', '01HZXK3V5Q9T2W8Y7R6P4N1M0B or V1StGXR8_Z5jdHi6B-myT', 'Error: <*> or <*>'],
    ['numbers at the end of a word', 'ORD12345 is locked', 'Error: ORD<*> is locked'],
    ['addresses', 'connect ECONNREFUSED 10.0.0.3:5432 or fe80::1ff:fe23:4567:890a', 'Error: connect ECONNREFUSED <*> or <*>'],
    ['mail addresses', 'no such user jane.doe+x@example.com', 'Error: no such user <*>'],
    ['times', 'at 2026-01-02T03:04:05.678Z, on 2026-01-02 and at 03:04:05', 'Error: at <*>, on <*> and at <*>'],
    ['what a URL was asked with', 'GET https://u:pw@a.example.com/v1/users/9?x=1#y', 'Error: GET https://a.example.com/v1/users/<*>'],
    ['variable parts of a path', 'open /var/tmp/run-17/part_00042.csv', 'Error: open /var/tmp/run-<*>/part_<*>.csv'],
    ['places in a file', 'x.ts:12:5: unexpected', 'Error: x.ts:<*>: unexpected'],
    ['how long a list is', 'items 1, 2, 3 failed', 'Error: items <*> failed'],
    ['line ends and runs of blanks', 'a\n  b\t c', 'Error: a b c'],
  ])('leaves out %s', (_, message, expected) => {
    expect(cause(message)).toBe(expected);
  });

  it.each([
    'Request failed with status code 503',
    'HTTP 404: not found',
    'the process exited with code 137',
    'SQLSTATE 23505 duplicate key',
    'utf8, sha256, i18n and k8s',
    "can't be, it's gone",
    'feature-flags-v2-enabled is wrong',
    'lock wait timeout; try restarting transaction',
  ])('keeps what tells it from others: %s', (message) => {
    expect(cause(message)).toBe(`Error: ${message}`);
  });

  it('begins with the code, and is only the code when there is no more to say', () => {
    expect(cause('x', 'TypeError')).toBe('TypeError: x');
    expect(cause('', 'timeout')).toBe('timeout');
    expect(cause('timeout', 'timeout')).toBe('timeout');
    expect(cause('x', '')).toBe('x');
  });

  it('tells failures of different codes apart', () => {
    expect(cause('no', 'A')).not.toBe(cause('no', 'B'));
  });

  it('is the same whatever the ids, numbers and values in a message are', () => {
    const parts = fc.record({
      n: fc.nat(),
      id: fc.uuid(),
      text: fc.string().map((text) => text.replaceAll(/["\\]/g, '')),
      at: fc.date({ noInvalidDate: true, min: new Date('1000-01-01'), max: new Date('9999-01-01') }),
    });
    const message = ({ n, id, text, at }: { n: number; id: string; text: string; at: Date }) =>
      `order ${n} of ${id} with "${text}" at ${at.toISOString()} in /data/${n}/x.csv`;
    fc.assert(fc.property(parts, (some) => cause(message(some)) === 'Error: order <*> of <*> with <*> at <*> in /data/<*>/x.csv'));
  });

  it('is the same for hexadecimal ids, be they all digits or not', () => {
    fc.assert(fc.property(fc.stringMatching(/^[0-9a-f]{11}[0-9]$/), (id) => cause(`no run-${id} here`) === 'Error: no run-<*> here'));
  });

  it('has an end, without half a character', () => {
    const long = cause('x😀'.repeat(1_000));
    expect(Array.from(long)).toHaveLength(240);
    expect(long.isWellFormed()).toBe(true);
  });

  it('takes no longer for a hostile message than for a long one', () => {
    const hostile = ['-', 'a1', '"\\', "'a ", '0:', '1,', 'a://', 'a@', 'status code ', '“', 'a-1_', '1 ', '<*> '].map((part) =>
      part.repeat(50_000),
    );
    const startedAt = performance.now();
    for (const message of hostile) cause(message);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('is text for any message at all', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string(), (message, code) => typeof cause(message, code) === 'string'));
  });
});

describe('the id of an incident', () => {
  const facts = { workspace: 'default', flow: 'f', phase: 'p', error: { code: 'E', message: `no ${newId()}` } };

  it('is a UUID, the same for the same kind of failure', () => {
    expect(incidentIdOf(facts)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(incidentIdOf({ ...facts, error: { code: 'E', message: `no ${newId()}` } })).toBe(incidentIdOf(facts));
  });

  it.each([
    ['workspace', { ...facts, workspace: 'other' }],
    ['flow', { ...facts, flow: 'g' }],
    ['phase', { ...facts, phase: 'q' }],
    ['code', { ...facts, error: { ...facts.error, code: 'F' } }],
    ['message', { ...facts, error: { ...facts.error, message: 'another' } }],
  ])('is another one for another %s', (_, other) => {
    expect(incidentIdOf(other)).not.toBe(incidentIdOf(facts));
  });
});
