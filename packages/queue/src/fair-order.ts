// Shares a queue between workspaces by start-time fair queueing (Goyal, Vin, Cheng 1996): each job gets a virtual start time, which
// becomes its priority in BullMQ. A workspace that floods the queue gets later and later times, one that comes now gets the present one.
// Time is counted in rounds of 32 jobs; within a round the user's priority decides.
import type { Redis } from 'ioredis';

export type FairGroup = {
  workspace: string;
  /** Its share beside the others. */
  weight: number;
  /** 1..100; jobs below 50 overtake others of their own workspace, those above are overtaken. */
  priority: number;
  count: number;
};

/** The n-th job of a group gets the round `start + n * step`. */
export type FairTimes = { start: number; step: number };

export type FairOrder = {
  assign(groups: readonly FairGroup[]): Promise<FairTimes[]>;
  /** About how many jobs of each of these workspaces are in the queue, by unit of weight. */
  depths(workspaces: readonly string[]): Promise<number[]>;
  /** The present round; rounds grow without end and are set back by `setBack` long before BullMQ's limit. */
  now(): Promise<number>;
  /** Subtracts rounds from the present one and from what every workspace has used. */
  setBack(rounds: number): Promise<void>;
  /** Says for two seconds that more waits outside of the queue. */
  markBacklog(): Promise<void>;
  hasBacklog(): Promise<boolean>;
};

/** BullMQ's priorities end at 2^21 - 1; the last 7 bits are the user's. */
const PRIORITY_MAX = 2_097_151;
export const ROUND = 128;
export const ROUNDS_MAX = Math.floor(PRIORITY_MAX / ROUND) - 1;
const ROUND_JOBS = 32;
const NEUTRAL_PRIORITY = 50;
/** A queue that was empty for this long has forgotten who used it before. */
const FORGET_MS = 1_000;
const BACKLOG_MARK_MS = 2_000;

// The present round is the one of the job that is next; BullMQ's score is priority * 2^32 + counter.
const PRESENT = `
local function present(state, jobs, now)
  local known = tonumber(redis.call('HGET', state, ' now') or '0')
  local head = redis.call('ZRANGE', jobs, 0, 0, 'WITHSCORES')
  if head[2] then return math.max(known, math.floor(tonumber(head[2]) / 4294967296 / ${ROUND})) end
  local used = tonumber(redis.call('HGET', state, ' used') or '0')
  if now - used < ${FORGET_MS} then return known end
  redis.call('DEL', state)
  redis.call('HSET', state, ' now', tostring(known))
  return known
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

// KEYS: state, prioritized jobs. ARGV: per group workspace, weight, priority, count. Returns start and step of each, as text.
const ASSIGN = `${PRESENT}
local virtual = present(KEYS[1], KEYS[2], now)
local answer = {}
for i = 1, #ARGV, 4 do
  local weight, slope, count = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]) / ${NEUTRAL_PRIORITY}, tonumber(ARGV[i + 3])
  local used = math.max(virtual, tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0'))
  answer[#answer + 1] = tostring(virtual + (used - virtual) * slope)
  answer[#answer + 1] = tostring(slope / weight / ${ROUND_JOBS})
  redis.call('HSET', KEYS[1], ARGV[i], tostring(used + count / weight / ${ROUND_JOBS}))
end
redis.call('HSET', KEYS[1], ' now', tostring(virtual), ' used', tostring(now))
redis.call('PEXPIRE', KEYS[1], 86400000)
return answer`;

// KEYS: state, prioritized jobs. ARGV: workspaces. Returns how far each is ahead of the present time.
const DEPTHS = `${PRESENT}
local virtual = present(KEYS[1], KEYS[2], now)
local answer = {}
for i, workspace in ipairs(ARGV) do
  answer[i] = math.floor(${ROUND_JOBS} * math.max(0, tonumber(redis.call('HGET', KEYS[1], workspace) or '0') - virtual))
end
return answer`;

// KEYS: state. ARGV: by how much.
const SET_BACK = `
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ' used' then redis.call('HSET', KEYS[1], all[i], tostring(math.max(0, tonumber(all[i + 1]) - tonumber(ARGV[1])))) end
end`;

type FairCommands = {
  millraceFairAssign(state: string, jobs: string, ...args: (string | number)[]): Promise<string[]>;
  millraceFairDepths(state: string, jobs: string, ...args: string[]): Promise<number[]>;
  millraceFairSetBack(state: string, by: number): Promise<void>;
};

export function createFairOrder({ client, prefix, queue }: { client: Redis; prefix: string; queue: string }): FairOrder {
  client.defineCommand('millraceFairAssign', { lua: ASSIGN, numberOfKeys: 2 });
  client.defineCommand('millraceFairDepths', { lua: DEPTHS, numberOfKeys: 2 });
  client.defineCommand('millraceFairSetBack', { lua: SET_BACK, numberOfKeys: 1 });
  // ioredis adds defined commands at run time; their types are those above.
  const commands = client as unknown as FairCommands;
  const [state, jobs, backlog] = [`${prefix}:fair:${queue}`, `${prefix}:${queue}:prioritized`, `${prefix}:backlog:${queue}`];
  return {
    assign: async (groups) => {
      if (groups.length === 0) return [];
      const args = groups.flatMap(({ workspace, weight, priority, count }) => [workspace, weight, priority, count]);
      const texts = await commands.millraceFairAssign(state, jobs, ...args);
      return groups.map((_, index) => ({ start: Number(texts[index * 2]), step: Number(texts[index * 2 + 1]) }));
    },
    depths: (workspaces) => (workspaces.length === 0 ? Promise.resolve([]) : commands.millraceFairDepths(state, jobs, ...workspaces)),
    now: async () => Number((await client.hget(state, ' now')) ?? 0),
    setBack: async (rounds) => {
      await commands.millraceFairSetBack(state, rounds);
    },
    markBacklog: async () => {
      await client.set(backlog, '1', 'PX', BACKLOG_MARK_MS);
    },
    hasBacklog: async () => (await client.exists(backlog)) === 1,
  };
}
