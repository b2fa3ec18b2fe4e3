import { describe, expect, it } from '@jest/globals';
import { bytesColumn, plainColumn, textColumn } from './array-literal.ts';

const same = <Value>(value: Value) => value;

describe('columns as array text', () => {
  it('writes nothing between the braces for no rows', () => {
    expect([plainColumn([], same), textColumn([], same), bytesColumn([], same)]).toEqual(['{}', '{}', '{}']);
  });

  it('writes plain values as they are and null as NULL', () => {
    expect(plainColumn([1, -2.5, null, true, 'f4a6b1c2-0000-7000-8000-000000000001'], same)).toBe(
      '{1,-2.5,NULL,true,f4a6b1c2-0000-7000-8000-000000000001}',
    );
  });

  it('quotes texts, escapes quotes and backslashes, and tells null from the word', () => {
    expect(textColumn(['', null, 'NULL', 'a,b', '{x}', 'say "hi"', String.raw`c:\d`, ' ä\n'], same)).toBe(
      String.raw`{"",NULL,"NULL","a,b","{x}","say \"hi\"","c:\\d"," ä` + '\n"}',
    );
  });

  it('writes bytes in hexadecimal', () => {
    expect(bytesColumn([Buffer.from([0, 255]), null], same)).toBe(String.raw`{"\\x00ff",NULL}`);
  });
});
