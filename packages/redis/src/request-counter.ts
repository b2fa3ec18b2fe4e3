// Counts requests in a sliding window of a minute, for all API processes together. Many subjects in one call, each in one hash.
import type { RedisClient } from './connection.ts';

/** `asked` requests of a subject that may make `max` of them in any minute. */
export type AskedRequests = { key: string; max: number; asked: number };

export type CountedRequests = {
  /** So many of those asked for were counted; the rest found no room and was not. */
  counted: number;
  /** What there is room for after them. */
  left: number;
  /** When the oldest that is counted leaves the window, in milliseconds from now. */
  freeInMs: number;
};

export type RequestCounter = {
  /** Counts what there is room for; answers in the order of the subjects, each of which may be named once. */
  count(subjects: readonly AskedRequests[]): Promise<CountedRequests[]>;
};

const WINDOW_MS = 60_000;

// KEYS[n] -> hash of a subject: the last millisecond of a slot -> requests counted in it.
// ARGV[1] -> window in ms, ARGV[2n] -> max, ARGV[2n + 1] -> asked. Returns three numbers per subject, as above.
// It errs to one side: a slot is counted until its last millisecond has left the window, so no minute ever sees more than `max`, and a
// request comes back up to a second late. A subject of few requests has slots of a millisecond, and is exact. What seems to come from the
// future was counted before the clock was set back; it is forgotten rather than held against the caller for hours.
const COUNT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, slots, second = tonumber(ARGV[1]), 60, 1000
local answers = {}
for i, key in ipairs(KEYS) do
  local max, asked = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local used, oldest, gone = 0, nil, {}
  local log = redis.call('HGETALL', key)
  for n = 1, #log, 2 do
    local at = tonumber(log[n])
    if at <= now - window or at > now + second then
      gone[#gone + 1] = log[n]
    else
      used = used + tonumber(log[n + 1])
      if not oldest or at < oldest then oldest = at end
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  local counted = math.min(asked, math.max(0, max - used))
  if counted > 0 then
    local width = max > slots and second or 1
    local at = now - now % width + width - 1
    redis.call('HINCRBY', key, string.format('%.0f', at), counted)
    redis.call('PEXPIRE', key, window + second)
    if not oldest or at < oldest then oldest = at end
  end
  answers[#answers + 1] = counted
  answers[#answers + 1] = math.max(0, max - used - counted)
  answers[#answers + 1] = (oldest or now) + window - now
end
return answers`;

type CountCommand = { millraceCountRequests(keyCount: number, ...args: (string | number)[]): Promise<number[]> };

export function createRequestCounter(client: RedisClient): RequestCounter {
  client.defineCommand('millraceCountRequests', { lua: COUNT });
  // ioredis adds defined commands at run time; their types are those above.
  const commands = client as unknown as CountCommand;
  return {
    count: async (subjects) => {
      const answer = await commands.millraceCountRequests(
        subjects.length,
        ...subjects.map(({ key }) => key),
        WINDOW_MS,
        ...subjects.flatMap(({ max, asked }) => [max, asked]),
      );
      return subjects.map((_, index) => {
        const [counted = 0, left = 0, freeInMs = 0] = answer.slice(index * 3, index * 3 + 3);
        return { counted, left, freeInMs };
      });
    },
  };
}
