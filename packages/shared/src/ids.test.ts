import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { groupIdOf, isUuid, lastMemberId, MEMBER_COUNT_MAX, memberId, newGroupId, newId } from './ids.ts';

const ordinal = fc.integer({ min: 0, max: MEMBER_COUNT_MAX - 1 });

describe('newId and newGroupId', () => {
  it('are UUIDs of version 7 that sort by the time they were made', () => {
    const ids = Array.from({ length: 100 }, () => newId());
    expect(ids.every((id) => isUuid(id) && id[14] === '7' && '89ab'.includes(id[19] ?? ''))).toBe(true);
    expect(ids.toSorted()).toEqual(ids);
  });

  it('differ in groups made in the same millisecond', () => {
    const groups = Array.from({ length: 10_000 }, () => newGroupId());
    expect(new Set(groups).size).toBe(groups.length);
    expect(groups.every((id) => isUuid(id) && id.endsWith('0000'))).toBe(true);
  });
});

describe('memberId', () => {
  it('leads back to its group from every ordinal', () => {
    fc.assert(
      fc.property(ordinal, (n) => {
        const group = newGroupId();
        const member = memberId(group, n);
        expect(isUuid(member)).toBe(true);
        expect(groupIdOf(member)).toBe(group);
        expect(Number.parseInt(member.slice(-4), 16)).toBe(n + 1);
      }),
    );
  });

  it('keeps the order of ordinals and stays above the group and within its last id', () => {
    fc.assert(
      fc.property(ordinal, ordinal, (a, b) => {
        const group = newGroupId();
        expect(Math.sign(memberId(group, a).localeCompare(memberId(group, b), 'en'))).toBe(Math.sign(a - b));
        expect(memberId(group, a) > group && memberId(group, a) <= lastMemberId(group)).toBe(true);
      }),
    );
  });

  it('never falls into the range of another group', () => {
    const [one, other] = [newGroupId(), newGroupId()];
    expect(memberId(one, MEMBER_COUNT_MAX - 1)).toBe(lastMemberId(one));
    expect(lastMemberId(one) < memberId(other, 0)).toBe(true);
  });

  it.each([-1, MEMBER_COUNT_MAX, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses the ordinal %p', (n) => {
    expect(() => memberId(newGroupId(), n)).toThrow(RangeError);
  });
});

describe('isUuid', () => {
  it.each([
    ['0198c0de-0000-7000-8000-00000000abcd', true],
    ['0198C0DE-0000-7000-8000-00000000ABCD', true],
    ['0198c0de000070008000000000000000', false],
    ['0198c0de-0000-7000-8000-00000000abcd\n', false],
    [' 0198c0de-0000-7000-8000-00000000abcd', false],
    ['{0198c0de-0000-7000-8000-00000000abcd}', false],
    ['0198c0de-0000-7000-8000-00000000abcg', false],
    ['', false],
  ])('answers for %j: %p', (text, expected) => {
    expect(isUuid(text)).toBe(expected);
  });
});
