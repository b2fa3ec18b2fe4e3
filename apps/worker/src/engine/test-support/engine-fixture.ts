// What tests of the engine need: real engines on a database and a Redis prefix of their own, and flows that are defined where they are used.
import { createLogger, systemClock } from '@millrace/process';
import { createJobDispatcher } from '@millrace/queue';
import {
  beginConnecting,
  createCommandConnection,
  createKeys,
  createLocks,
  createUpdatePublisher,
  isReady,
  type Keys,
  type Locks,
  type RedisClient,
  type UpdatePublisher,
} from '@millrace/redis';
import { createFlowPlanner, defineFlow, planPhases, type FlowDefinition, type FlowRegistry, type PhaseDefinition } from '@millrace/sdk';
import { isTerminalFlow, memberId, newId, type Dispatch, type FlowStatus } from '@millrace/shared';
import {
  createDatabase,
  createFlows,
  readEvents,
  readFlow,
  type Database,
  type LoggedEvent,
  type StoredFlow,
  type StoredPhase,
} from '@millrace/store';
import { createTestDatabase, eventually } from '@millrace/testing';
import { z } from 'zod';
import { createChildrenLoop } from '../../services/children.ts';
import { createFlowDispatcher } from '../../services/dispatcher.ts';
import { createFlowEngine, type FlowEngine, type FlowEngineDeps } from '../create-flow-engine.ts';
import { createEventPublisher } from '../event-publisher.ts';

export type FlowState = { flow: StoredFlow; phases: StoredPhase[] };

export type EngineFixture = {
  readonly url: string;
  readonly database: Database;
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly locks: Locks;
  readonly updates: UpdatePublisher;
  /**
   * Starts an engine that knows every flow defined here, now or later. `version`: as if it held each of them in this one only. `consumes`: false
   * leaves the queue to others.
   */
  engine(options?: {
    concurrency?: number;
    longMax?: number;
    imports?: FlowEngineDeps['imports'];
    version?: number;
    consumes?: boolean;
  }): Promise<FlowEngine>;
  /** Defines a flow for any input and answers its name. */
  define(phases: Record<string, PhaseDefinition<never>>, version?: number, more?: Pick<FlowDefinition, 'limits'>): string;
  /** Accepts a flow and dispatches its ready phases; answers its id. `version`: as if another code had accepted it. */
  start(name: string, input?: unknown, version?: number): Promise<string>;
  dispatch(jobs: readonly Dispatch[]): Promise<void>;
  read(flowId: string): Promise<FlowState>;
  /** The flow once it has ended. */
  ended(flowId: string, withinMs?: number): Promise<FlowState>;
  events(flowId: string): Promise<LoggedEvent[]>;
  /** Types and phases of the events, having checked that they are numbered without a gap. */
  story(flowId: string): Promise<string[]>;
  /** Keys written by handlers through their transactions. */
  ledger(key: string): Promise<string[]>;
  close(): Promise<void>;
};

function inVersion(registry: FlowRegistry, version: number): FlowRegistry {
  const held = registry.list().map((definition) => ({ ...definition, version }));
  return {
    get: (name, wanted = version) => (wanted === version ? held.find((definition) => definition.name === name) : undefined),
    list: () => held,
  };
}

const log = createLogger({ name: 'test', level: 'silent' });
const NO_IMPORTS: FlowEngineDeps['imports'] = { run: () => Promise.reject(new Error('there are no imports here')) };
const DRAIN_MS = 200;
/** Signs requests of http phases that have no secret of their own. */
export const TEST_HTTP_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
let fixtures = 0;

export async function createEngineFixture(redisUrl: string = process.env['REDIS_URL'] ?? ''): Promise<EngineFixture> {
  fixtures += 1;
  const keys = createKeys(`{test-engine-${process.pid}-${fixtures}-${newId().slice(-6)}}`);
  const { url, database, drop } = await createTestDatabase();
  const redis = createCommandConnection({ url: redisUrl, name: 'test-engine', log });
  beginConnecting(redis);
  const queue = { url: redisUrl, name: 'test-engine-queue', log, prefix: keys.queuePrefix() };
  const dispatcher = createJobDispatcher(queue);
  await eventually(() => {
    if (!isReady(redis) || !dispatcher.isReady()) throw new Error('Redis is not ready');
  });
  const flows = new Map<string, FlowDefinition>();
  const locks = createLocks(redis);
  const updates = createUpdatePublisher({ client: redis, keys });
  const closing: (() => Promise<void>)[] = [];

  const registry: FlowRegistry = {
    get: (name, version) => (version === undefined || flows.get(name)?.version === version ? flows.get(name) : undefined),
    list: () => [...flows.values()],
  };

  const engine: EngineFixture['engine'] = async ({
    concurrency = 20,
    longMax = 8,
    imports = NO_IMPORTS,
    version,
    consumes = true,
  } = {}) => {
    const own = createDatabase({ url, name: 'test-engine', poolMax: { long: longMax }, onError: () => undefined });
    const publisher = createEventPublisher({ updates, log });
    const flowDispatcher = createFlowDispatcher({ database: own, dispatcher, windowMax: 1_000, log, onPass: () => undefined });
    const children = createChildrenLoop({
      database: own,
      publisher,
      dispatch: flowDispatcher.dispatch,
      announceCancel: (flowId) => updates.publishControl({ type: 'cancel', flowId }),
      log,
      onPass: () => undefined,
    });
    const made = createFlowEngine({
      database: own,
      locks,
      keys,
      updates,
      publisher,
      queue,
      log,
      concurrency,
      registry: version === undefined ? registry : inVersion(registry, version),
      planner: createFlowPlanner(registry),
      dispatch: flowDispatcher.dispatch,
      imports,
      onFreed: () => children.wake(),
      http: { callbackUrl: 'http://api.test/v1/callbacks', secret: TEST_HTTP_SECRET },
      openImported: () => Promise.reject(new Error('there are no imports here')),
      clock: systemClock,
      workerId: `test:${newId().slice(-6)}`,
      onEnd: () => undefined,
      onPass: () => undefined,
    });
    await made.leaseKeeper.start();
    await children.start();
    if (consumes) await made.consumer.start();
    closing.push(async () => {
      await made.drain(DRAIN_MS);
      await made.leaseKeeper.stop(1_000);
      await children.stop(1_000);
      await made.consumer.stop(500);
      await flowDispatcher.drain();
      await publisher.drain();
      await own.close();
    });
    return made;
  };

  const read = async (flowId: string): Promise<FlowState> => {
    const found = await readFlow(database.main, { flowId, workspace: 'default' });
    if (found === undefined) throw new Error(`there is no flow ${flowId}`);
    return found;
  };
  const events = (flowId: string) => readEvents(database.main, { subjectId: flowId, limit: 1_000 });

  return {
    url,
    database,
    redis,
    keys,
    locks,
    updates,
    engine,
    read,
    events,
    define: (phases, version = 1, more = {}) => {
      const name = `flow-${flows.size + 1}`;
      // The handlers take whatever input their own test starts them with.
      flows.set(name, defineFlow({ name, version, input: z.unknown(), phases: phases as Record<string, PhaseDefinition>, ...more }));
      return name;
    },
    start: async (name, input = {}, version) => {
      const definition = flows.get(name);
      const plan = definition === undefined ? undefined : planPhases(definition, input);
      if (definition === undefined || plan?.ok !== true) throw new Error(`${name} cannot be started: ${JSON.stringify(plan)}`);
      const [made] = await createFlows(database.hot, [
        {
          workspace: 'default',
          createdBy: 'test',
          name,
          version: version ?? definition.version,
          inputJson: JSON.stringify(input),
          tags: {},
          priority: 50,
          runAt: null,
          idempotency: null,
          dispatch: true,
          phases: plan.phases,
          respond: () => ({ status: 202, body: {} }),
        },
      ]);
      if (made?.kind !== 'created') throw new Error('the flow was not accepted');
      await dispatcher.dispatch('flow-phase', made.dispatches);
      return made.flowId;
    },
    dispatch: (jobs) => dispatcher.dispatch('flow-phase', jobs),
    ended: (flowId, withinMs = 10_000) =>
      eventually(
        async () => {
          const state = await read(flowId);
          const status: FlowStatus = state.flow.status;
          if (!isTerminalFlow(status)) throw new Error(`flow ${flowId} is ${status}: ${JSON.stringify(state.phases)}`);
          return state;
        },
        { withinMs },
      ),
    story: async (flowId) => {
      const all = await events(flowId);
      if (all.some((event, index) => event.seq !== index + 1))
        throw new Error(`the events of ${flowId} are numbered ${all.map((event) => event.seq).join(',')}`);
      return all.map((event) => (event.phase === null ? event.type : `${event.type} ${event.phase}`));
    },
    ledger: async (key) =>
      (await database.main.query<{ phase: string }>('SELECT phase FROM selftest_ledger WHERE key = $1 ORDER BY phase', [key])).rows.map(
        (row) => row.phase,
      ),
    close: async () => {
      await Promise.all(closing.map((close) => close()));
      await Promise.all(dispatcher.queues().map((queueObject) => queueObject.obliterate({ force: true }).catch(() => undefined)));
      await dispatcher.close();
      redis.disconnect();
      await drop();
    },
  };
}

/** The id of a flow's only phase. */
export function onlyPhase(flowId: string): string {
  return memberId(flowId, 0);
}

/** Something that a test lets happen. */
export function gate<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}
