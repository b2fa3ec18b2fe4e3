// Finding PostgreSQL's user.
import { describe, expect, it } from '@jest/globals';
import { parsePasswd } from './postgres-account.ts';

const passwd = 'root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\ntoor:x:0:0::/:/bin/sh\nbroken:x\n';

describe('parsePasswd', () => {
  it.each([
    ['postgres', { uid: 101, gid: 104 }],
    ['nobody', undefined],
    ['broken', undefined],
    ['toor', undefined],
  ])('finds %s', (name, expected) => {
    expect(parsePasswd(passwd, name)).toEqual(expected);
  });
});
