import { describe, expect, it } from '@jest/globals';
import { createRuntimeJudge } from './node-releases.ts';
import { createVersionSpread } from './version-spread.ts';

describe('createRuntimeJudge', () => {
  const judge = createRuntimeJudge('2026-11-20', 24);

  it.each([
    ['>=18', 'fine'],
    ['*', 'fine'],
    ['^18.14.0 || ^20.0.0 || ^22.0.0 || >=24.0.0', 'fine'],
    ['node >=6', 'fine'],
    ['{"node":">=10","npm":">=6"}', 'fine'],
    ['18 || 20', 'end-of-life'],
    ['>=12 <17', 'end-of-life'],
    ['0.10.x', 'end-of-life'],
    ['~20.3.0', 'end-of-life'],
    ['>=26', 'too-new'],
    ['>=24.5.0', 'fine'],
    ['^25.0.0', 'too-new'],
    ['Java 8', 'unreadable'],
  ])('judges %j as %s', (range, verdict) => {
    expect(judge(range).verdict).toBe(verdict);
  });

  it('names the lines that are allowed and over', () => {
    expect(judge('18 || 20').lines).toEqual(['18', '20']);
  });

  it('judges by the given day: Node 20 lived until 30 April 2026', () => {
    expect(createRuntimeJudge('2026-04-30', 24)('^20').verdict).toBe('fine');
    expect(createRuntimeJudge('2026-05-01', 24)('^20').verdict).toBe('end-of-life');
  });

  it("judges by the team's own major", () => {
    expect(createRuntimeJudge('2026-11-20', 26)('>=26').verdict).toBe('fine');
  });
});

describe('createVersionSpread', () => {
  it('tells several majors from several versions of one, with 0.x minors as majors', () => {
    const spread = createVersionSpread();
    const add = (name: string, ...versions: string[]) => versions.forEach((version) => spread.add({ name, version, own: false }));
    add('one', '1.0.0', '1.0.0');
    add('minor', '1.0.0', '1.10.0', '1.9.0');
    add('major', '1.0.0', '2.0.0', '2.0.0');
    add('zero', '0.1.0', '0.2.0');
    spread.add({ name: 'mine', version: '1.0.0', own: true });
    spread.add({ name: 'mine', version: '2.0.0', own: true });
    expect(spread.result()).toEqual([
      { name: 'minor', versions: ['1.0.0', '1.9.0', '1.10.0'], copies: 3, severalMajors: false },
      { name: 'major', versions: ['1.0.0', '2.0.0'], copies: 3, severalMajors: true },
      { name: 'zero', versions: ['0.1.0', '0.2.0'], copies: 2, severalMajors: true },
    ]);
  });
});
