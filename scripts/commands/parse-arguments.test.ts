// The command line.
import { describe, expect, it } from '@jest/globals';
import { parseArguments } from './parse-arguments.ts';

describe('parseArguments', () => {
  it.each([
    [['up'], { name: 'up' }],
    [['check'], { name: 'check' }],
    [['demo'], { name: 'demo', exit: false, lockfile: undefined }],
    [['demo', '--lockfile', 'a/b.json', '--exit'], { name: 'demo', exit: true, lockfile: 'a/b.json' }],
    [['demo', '--lockfile=x'], { name: 'demo', exit: false, lockfile: 'x' }],
    [['test', '--watch', 'a.test.ts'], { name: 'test', args: ['--watch', 'a.test.ts'] }],
    [['bench', 'phases', '--json'], { name: 'bench', args: ['phases', '--json'] }],
    [['up', '--help'], { name: 'help' }],
    [['--help'], { name: 'help' }],
  ])('reads %j', (args, expected) => {
    expect(parseArguments(args)).toEqual(expected);
  });

  it.each([
    [[], 'No command'],
    [['upp'], '"upp"'],
    [['up', '--port'], 'the option "--port"'],
    [['check', 'x'], 'the argument "x"'],
    [['demo', '--exti'], 'the option "--exti"'],
    [['demo', '--lockfile'], '"--lockfile" needs a path'],
    [['demo', '--lockfile', '--exit'], '"--lockfile" needs a path'],
    [['demo', '--lockfile='], '"--lockfile" needs a path'],
  ])('refuses %j and names what is wrong', (args, message) => {
    expect(() => parseArguments(args)).toThrow(
      expect.objectContaining({ kind: 'usage', exitCode: 64, message: expect.stringContaining(message) }),
    );
  });
});
