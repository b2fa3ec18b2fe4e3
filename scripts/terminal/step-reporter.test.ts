// What is printed with and without a terminal.
import { describe, expect, it } from '@jest/globals';
import { createStepReporter, useColours } from './step-reporter.ts';

function recorded(isTTY: boolean, env: NodeJS.ProcessEnv = {}) {
  const written: string[] = [];
  const reporter = createStepReporter({ out: { isTTY, write: (text) => written.push(text) }, env });
  return { reporter, text: () => written.join('') };
}

describe('createStepReporter', () => {
  it('prints plain lines where there is no terminal: steps at their end, long ones at their start too', () => {
    const { reporter, text } = recorded(false);
    const long = reporter.step('postgres', { text: 'creating', announce: true });
    reporter.step('redis').done('started');
    long.done('created');
    expect(text()).toMatch(/^postgres {3}creating\nredis {6}started \(\d\.\d\d s\)\npostgres {3}created \(\d\.\d\d s\)\n$/);
  });

  it('leaves no line of a failed step', () => {
    const { reporter, text } = recorded(false);
    reporter.step('redis').fail();
    expect(text()).toBe('');
  });

  it('colours on a terminal, and not with NO_COLOR', () => {
    const coloured = recorded(true);
    coloured.reporter.line('redis', 'x');
    expect(coloured.text()).toContain('\x1b[36mredis');
    const plain = recorded(true, { NO_COLOR: '1' });
    plain.reporter.line('redis', 'x');
    expect(plain.text()).not.toContain('\x1b[36m');
  });
});

describe('useColours', () => {
  it.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
  ])('terminal %j with %j: %j', (isTTY, env, expected) => {
    expect(useColours({ isTTY, write: () => true }, env)).toBe(expected);
  });
});
