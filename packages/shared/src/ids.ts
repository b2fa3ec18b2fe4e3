// Identifiers. A flow's id leaves its last 16 bits zero; the id of its n-th phase is the flow's id plus n, so that either is
// known from the other without a look-up and a flow's phases are one range of the primary key. Chunks of an import work the same way.
import { v7 } from 'uuid';

const MEMBER_HEX_DIGITS = 4;
const PREFIX_LENGTH = 36 - MEMBER_HEX_DIGITS;
const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Random bytes are fetched for so many ids at once: one call for each would cost more than all the rest. */
const POOLED_IDS = 256;
const ID_BYTES = 16;
const SEQUENCE_BITS = 0x7fffffff;

/** The most phases of a flow, or chunks of an import, that a 16-bit member number can name. */
export const MEMBER_COUNT_MAX = 0xffff;

/** A new UUIDv7 (RFC 9562) for anything that has no members. */
export function newId(): string {
  const random = nextRandom();
  const now = Date.now();
  // Within a millisecond, or when the clock was set back, the sequence number goes on, so that ids of one process always rise.
  if (now > last.msecs) [last.msecs, last.seq] = [now, new DataView(random.buffer, random.byteOffset).getUint32(0) & SEQUENCE_BITS];
  else [last.msecs, last.seq] = last.seq < SEQUENCE_BITS ? [last.msecs, last.seq + 1] : [last.msecs + 1, 0];
  return v7({ random, ...last });
}

const last = { msecs: 0, seq: 0 };
const pool = new Uint8Array(ID_BYTES * POOLED_IDS);
let used = pool.length;

function nextRandom(): Uint8Array {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  used += ID_BYTES;
  return pool.subarray(used - ID_BYTES, used);
}

/** A new UUIDv7 whose last 16 bits are zero: the id of a flow or an import. 58 bits of it stay random or monotonic. */
export function newGroupId(): string {
  return `${newId().slice(0, PREFIX_LENGTH)}0000`;
}

/**
 * The id of the member with the given ordinal (0-based) of a group.
 * @throws RangeError when the ordinal is outside 0..65534.
 */
export function memberId(groupId: string, ordinal: number): string {
  if (!Number.isInteger(ordinal) || ordinal < 0 || ordinal >= MEMBER_COUNT_MAX)
    throw new RangeError(`ordinal ${ordinal} is outside 0..${MEMBER_COUNT_MAX - 1}`);
  return groupId.slice(0, PREFIX_LENGTH) + (ordinal + 1).toString(16).padStart(MEMBER_HEX_DIGITS, '0');
}

/** The group (flow or import) that a member (phase or chunk) belongs to. */
export function groupIdOf(id: string): string {
  return `${id.slice(0, PREFIX_LENGTH)}0000`;
}

/** The last id that a member of this group can have; `id > group and id <= lastMemberId(group)` selects its members. */
export function lastMemberId(groupId: string): string {
  return `${groupId.slice(0, PREFIX_LENGTH)}ffff`;
}

export function isUuid(text: string): boolean {
  return UUID_PATTERN.test(text);
}

/** Milliseconds since 1970 that a UUIDv7 was made at. */
export function timeOfId(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
