import { expect, it } from '@jest/globals';
import { judgeLicense } from './license-policy.ts';

it.each([
  ['MIT', 'fine'],
  ['BlueOak-1.0.0', 'fine'],
  ['Unlicense', 'fine'],
  ['MPL-2.0', 'note'],
  ['LGPL-3.0-only', 'note'],
  ['CC-BY-4.0', 'note'],
  ['GPL-3.0-or-later', 'restricted'],
  ['AGPL-3.0-only', 'restricted'],
  ['BUSL-1.1', 'restricted'],
  ['MIT OR GPL-3.0-or-later', 'fine'],
  ['MIT AND GPL-3.0-or-later', 'restricted'],
  ['GPL-3.0-only AND (MIT OR AGPL-3.0-only)', 'restricted'],
  ['GPL-2.0-only WITH Classpath-exception-2.0', 'review'],
  ['Beerware', 'review'],
  ['no licence at all', 'review'],
])('judges %s as %s', (expression, verdict) => {
  expect(judgeLicense(expression).verdict).toBe(verdict);
});
