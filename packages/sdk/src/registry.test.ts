import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { defineFlow } from './define-flow.ts';
import { isPermanentError, PermanentError } from './permanent-error.ts';
import { createFlowRegistry } from './registry.ts';

const flow = (name: string, version = 1) => defineFlow({ name, version, input: z.unknown(), phases: { only: { run: () => null } } });

describe('createFlowRegistry', () => {
  it('finds definitions by name and lists them in order', () => {
    const [one, two] = [flow('one'), flow('two.a-b_c')];
    const registry = createFlowRegistry([one, two]);
    expect(registry.get('two.a-b_c')).toBe(two);
    expect(registry.list()).toEqual([one, two]);
  });

  it.each(['unknown', '__proto__', 'constructor', ''])('knows no flow %j', (name) => {
    expect(createFlowRegistry([flow('one')]).get(name)).toBeUndefined();
  });

  it.each(['', 'One', '1one', 'a b', 'a/b', 'é', `a${'x'.repeat(100)}`])('refuses the name %j', (name) => {
    expect(() => createFlowRegistry([flow(name)])).toThrow(`flow name "${name}" must match`);
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses the version %p', (version) => {
    expect(() => createFlowRegistry([flow('one', version)])).toThrow('flow "one": version must be a positive integer');
  });

  it('keeps the versions of a name apart, the latest first', () => {
    const [first, second] = [flow('one'), flow('one', 2)];
    const registry = createFlowRegistry([first, second]);
    expect([registry.get('one'), registry.get('one', 1), registry.get('one', 2), registry.get('one', 3)]).toEqual([
      second,
      first,
      second,
      undefined,
    ]);
    expect(registry.list()).toEqual([second, first]);
  });

  it('refuses one version of a name twice', () => {
    expect(() => createFlowRegistry([flow('one', 2), flow('one', 2)])).toThrow('flow "one" is defined twice in version 2');
  });

  it.each([{ age: '3 weeks' as '3d' }, { age: -1 }, { count: -1 }, { count: 1.5 }])('refuses the retention %j', (retention) => {
    expect(() => createFlowRegistry([{ ...flow('one', 1), retention }])).toThrow('flow "one": retention.');
  });
});

describe('isPermanentError', () => {
  it('recognises the error by its name, as two copies of the package would need', () => {
    expect(isPermanentError(new PermanentError('no'))).toBe(true);
    expect(isPermanentError(Object.assign(new Error('no'), { name: 'PermanentError' }))).toBe(true);
  });

  it.each([null, undefined, 'PermanentError', new Error('PermanentError'), 42])('does not take %p for one', (thrown) => {
    expect(isPermanentError(thrown)).toBe(false);
  });

  it('keeps the cause', () => {
    const cause = new Error('inner');
    expect(new PermanentError('outer', { cause }).cause).toBe(cause);
  });
});
