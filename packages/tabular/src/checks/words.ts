// Checks the types whose values are words: boolean, uuid, inet.
// All are left as they stand; PostgreSQL reads every spelling accepted here.

import type { CellCheck } from './verdict.ts';
import { verdict } from './verdict.ts';

const DASH = 0x2d;
const hexDigits = new Uint8Array(256);
for (const digit of Buffer.from('0123456789abcdefABCDEF')) hexDigits[digit] = 1;

/** By length, so that at most four are compared. */
const booleanWords = [[], ['t', 'f', '1', '0'], ['no', 'on'], ['yes', 'off'], ['true'], ['false']].map((words) =>
  words.map((word) => Buffer.from(word)),
);

function isWordInAnyCase(word: Buffer, bytes: Buffer, start: number): boolean {
  for (let i = 0; i < word.length; i++) {
    const byte = bytes[start + i] as number;
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== word[i]) return false;
  }
  return true;
}

/** true/false, t/f, yes/no, on/off, 1/0 in any case. */
export const checkBoolean: CellCheck = (bytes, start, end) => {
  const words = booleanWords[end - start];
  if (words === undefined) return verdict.type;
  for (const word of words) if (isWordInAnyCase(word, bytes, start)) return verdict.ok;
  return verdict.type;
};

/** The canonical 8-4-4-4-12 form, any version, any case. */
export const checkUuid: CellCheck = (bytes, start, end) => {
  if (end - start !== 36) return verdict.type;
  for (let i = 0; i < 36; i++) {
    const byte = bytes[start + i] as number;
    const isDashPlace = i === 8 || i === 13 || i === 18 || i === 23;
    if (isDashPlace ? byte !== DASH : hexDigits[byte] === 0) return verdict.type;
  }
  return verdict.ok;
};

const ipv4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
const ipv4Prefix = /^(?:3[0-2]|[12]?\d)$/;
const ipv6Prefix = /^(?:12[0-8]|1[01]\d|[1-9]?\d)$/;
const ipv6Group = /^[0-9a-fA-F]{1,4}$/;
/** Eight groups with an embedded IPv4 address and a prefix. */
const inetLengthMax = 49;

function isIpv6(address: string): boolean {
  const lastColon = address.lastIndexOf(':');
  const tail = address.slice(lastColon + 1);
  const plain = tail.includes('.') ? `${address.slice(0, lastColon + 1)}${ipv4.test(tail) ? '0:0' : 'no'}` : address;
  const halves = plain.split('::');
  if (lastColon === -1 || halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  return groups.every((group) => ipv6Group.test(group)) && (halves.length === 2 ? groups.length <= 7 : groups.length === 8);
}

/** An IPv4 or IPv6 address with an optional prefix length; no abbreviations, leading zeros or zone names. */
export const checkInet: CellCheck = (bytes, start, end) => {
  if (end - start > inetLengthMax) return verdict.type;
  const [address = '', prefix, ...rest] = bytes.toString('latin1', start, end).split('/');
  if (rest.length > 0) return verdict.type;
  if (ipv4.test(address)) return prefix === undefined || ipv4Prefix.test(prefix) ? verdict.ok : verdict.type;
  return isIpv6(address) && (prefix === undefined || ipv6Prefix.test(prefix)) ? verdict.ok : verdict.type;
};
