// The same steps on the database, with the statements of this package: what workers, services and people would call. Remembers what was
// handed out, so that it can be used again when it must have no effect any more.
import { groupIdOf, memberId, type Dispatch, type JobRef } from '@millrace/shared';
import { admitDue } from '../../flows/admission/admit.ts';
import { backlogLanes, dispatchAgain, overdueWaits, postponeCheck, releaseHeld, takeBacklog } from '../../flows/backlog.ts';
import { mintCallbackToken } from '../../flows/callback-token.ts';
import { awaitCallback, completeCallback, failCallback, failOverdueCallbacks } from '../../flows/callbacks.ts';
import { cancelFlow } from '../../flows/cancel-flow.ts';
import { orphans, settleChildren, startChildren } from '../../flows/children.ts';
import { claimPhases } from '../../flows/claim-phases.ts';
import { completePhases } from '../../flows/complete-phases.ts';
import { createFlows, type NewFlow } from '../../flows/create-flows.ts';
import { endOverdueFlow, overdueFlows } from '../../flows/end-overdue-flows.ts';
import { failOverdueWait, failPhase } from '../../flows/fail-phase.ts';
import { pauseFlow, resumeDuePauses, resumeFlow } from '../../flows/pause-flow.ts';
import { quarantinePhase } from '../../flows/quarantine.ts';
import { releasePhases } from '../../flows/release-phases.ts';
import { retryFlow } from '../../flows/retry-flow.ts';
import { deliverKept, sendSignal, undeliveredSignals } from '../../flows/signals.ts';
import { suspendPhases } from '../../flows/suspend-phases.ts';
import { wakePhases } from '../../flows/wake-phases.ts';
import { pauseQueue, resumeQueue } from '../../queues/pause-queue.ts';
import { newFlow, type StoreFixture } from '../store-fixture.ts';
import { TOKENS_MAX, type FlowShape } from './model.ts';
import { answerOf, awaitsOf, CHILD, policyOf, signalOf, type PhaseStep, type Step, type View } from './steps.ts';

type Claim = { fence: number; worker: string; run: number; attempt: number; attemptMax: number };
export type World = {
  store: StoreFixture;
  flowIds: string[];
  jobs: Map<string, JobRef[]>;
  claims: Map<string, Claim[]>;
  /** Number of the next worker, and of the next child. */
  next: number;
};

const WORKSPACE = 'default';
const HOUR_MS = 3_600_000;
const LATER = () => new Date(Date.now() + HOUR_MS).toISOString();
const BACKOFF = { type: 'fixed', delay: '1h', jitter: 0 } as const;
const WINDOWS = [{ max: TOKENS_MAX, perMs: 24 * HOUR_MS }];
const LIMITS = new Map([
  ['r0', WINDOWS],
  ['r1', WINDOWS],
]);

/** Empties the tables: what an earlier story left must not be met by this one. */
export async function createWorld(store: StoreFixture): Promise<World> {
  for (const table of ['event_log', 'attempts', 'signals', 'admissions', 'rate_limits', 'queue_pauses', 'phases', 'flows'])
    await store.sql(`DELETE FROM millrace.${table}`);
  return { store, flowIds: [], jobs: new Map(), claims: new Map(), next: 0 };
}

export const idOf = (world: World, step: Pick<PhaseStep, 'flow' | 'phase'>): string => memberId(world.flowIds[step.flow] ?? '', step.phase);
export const claimOf = (world: World, step: PhaseStep): Claim | undefined => world.claims.get(idOf(world, step))?.at(-1 - step.before);

function keep<Value>(map: Map<string, Value[]>, id: string, value: Value): void {
  map.set(id, [...(map.get(id) ?? []), value]);
}

function handedOut(world: World, { dispatches }: { dispatches: readonly Dispatch[] }): void {
  for (const { id, generation } of dispatches) keep(world.jobs, id, { id, generation });
}

function asNewFlow({ phases, dispatch, ...shape }: FlowShape): NewFlow {
  const flow = newFlow(phases.map(({ needs }) => needs));
  return {
    ...flow,
    dispatch,
    runAt: shape.later ? LATER() : null,
    phases: flow.phases.map((phase, ordinal) => {
      const { signal = null, timed = false, attemptMax = 1, rate = null } = phases[ordinal] ?? {};
      return { ...phase, signal, attemptMax, rateKey: rate, waitTimeoutMs: timed ? HOUR_MS : null };
    }),
    extras: {
      ...(shape.key === null ? {} : { concurrency: { key: shape.key, limit: shape.limit } }),
      ...(shape.expires ? { expiresAt: LATER() } : {}),
      ...(shape.timeout ? { timeoutMs: HOUR_MS } : {}),
    },
  };
}

/** Does a step and answers in the model's words what became of it. */
export async function stepWorld(world: World, step: Step): Promise<string> {
  const { store } = world;
  switch (step.kind) {
    case 'create': {
      const [made] = await createFlows(store.database.hot, [asNewFlow(step.shape)]);
      if (made?.kind !== 'created') return 'not created';
      world.flowIds.push(made.flowId);
      handedOut(world, made);
      return 'created';
    }
    case 'pauseQueue':
      await pauseQueue(store.database.main, { queue: 'flow-phase', workspace: WORKSPACE, by: 'test', reason: null, until: null });
      return 'done';
    case 'resumeQueue':
      await resumeQueue(store.database.main, { queue: 'flow-phase', workspace: WORKSPACE });
      return 'done';
    default:
      if ('phase' in step) return stepPhase(world, step);
      if ('flow' in step) return stepFlow(world, step);
      await WHOLE[step.kind](world);
      return 'done';
  }
}

type WholeStep = Exclude<Step, { flow: number } | { shape: FlowShape }>['kind'];
const WHOLE: Record<Exclude<WholeStep, 'pauseQueue' | 'resumeQueue'>, (world: World) => Promise<void>> = {
  dispatch: async (world) => {
    const lanes = await backlogLanes(world.store.database.hot, { after: '', limit: 10 });
    const shares = lanes.filter((lane) => !lane.paused).map(({ workspace }) => ({ workspace, count: 1_000 }));
    handedOut(world, { dispatches: await takeBacklog(world.store.database.hot, shares) });
  },
  releaseDue: async ({ store }) => void (await releaseHeld(store.database.hot, 1_000)),
  admit: async ({ store }) => {
    await releaseHeld(store.database.hot, 1_000);
    // Each pass leaves doorbells for the next, until nothing is let in any more.
    for (let passes = 0; passes < 20 && (await admitDue(store.database, LIMITS)).waitMs === 0; passes += 1);
  },
  endWaits: async (world) => {
    const { database } = world.store;
    for (const kept of await undeliveredSignals(database.main, 1_000)) handedOut(world, await deliverKept(database, kept));
    const overdue = await overdueWaits(database.hot, 1_000);
    for (const { id, suspended } of overdue) if (suspended === null) await failOverdueWait(database, id);
    const sleepers = overdue.flatMap(({ id, suspended }) => (suspended === null ? [] : [id]));
    handedOut(world, await wakePhases(database.hot, { ids: sleepers, reason: 'time', onlyDue: true }));
  },
  endPauses: async (world) => {
    handedOut(world, await resumeDuePauses(world.store.database, 1_000));
    await putOffWaits(world);
  },
  endCallbacks: async (world) => handedOut(world, await failOverdueCallbacks(world.store.database, 1_000)),
  endOverdue: async ({ store }) => {
    for (const id of await overdueFlows(store.database.main, 1_000)) await endOverdueFlow(store.database, id);
  },
  tendChildren: async (world) => {
    const { database } = world.store;
    handedOut(world, await settleChildren(database, 1_000));
    for (const child of await orphans(database.main, 1_000)) await cancelFlow(database, { ...child, by: 'parent' });
  },
};

// A resumed wait whose time was over gets a second; here it gets an hour, for nothing must depend on how long a test takes.
async function putOffWaits({ store }: World): Promise<void> {
  await store.sql(
    "UPDATE millrace.phases SET due_at = now() + interval '1 hour' WHERE status = 'waiting' AND due_at BETWEEN now() AND now() + interval '5 seconds'",
  );
}

async function stepFlow(world: World, step: Extract<Step, { flow: number }>): Promise<string> {
  const { database, sql } = world.store;
  const flowId = world.flowIds[step.flow] ?? '';
  const target = { flowId, workspace: WORKSPACE, by: 'test' };
  const answered = (outcome: { kind: string; status?: string }) => [outcome.kind, outcome.status].filter(Boolean).join(' ');
  switch (step.kind) {
    case 'pause':
      return answered(await pauseFlow(database, { ...target, reason: null, until: step.choice < 2 ? new Date(LATER()) : null }));
    case 'resume': {
      const outcome = await resumeFlow(database, target);
      if (outcome.kind === 'done') handedOut(world, outcome);
      await putOffWaits(world);
      return answered(outcome);
    }
    case 'cancel':
      return answered(await cancelFlow(database, target));
    case 'retry':
      return answered(await retryFlow(database, target));
    case 'signal': {
      const name = signalOf(step.choice);
      const outcome = await sendSignal(database, { ...target, name, bodyJson: JSON.stringify(name) }, () => name.startsWith('s'));
      if (outcome.kind === 'sent') handedOut(world, outcome);
      return answered(outcome);
    }
    case 'startTimeComes':
      await sql(
        'UPDATE millrace.phases p SET due_at = now() FROM millrace.flows f WHERE f.id = $1 AND p.flow_id = f.id AND f.run_at > now() AND p.status = $2 AND NOT p.dispatched AND p.due_at > now()',
        [flowId, 'queued'],
      );
      await sql('UPDATE millrace.flows SET run_at = now() WHERE id = $1 AND run_at > now()', [flowId]);
      await sql("UPDATE millrace.phases SET signal_at = now() WHERE flow_id = $1 AND signal_at > now() AND signal_at < 'infinity'", [
        flowId,
      ]);
      // The doorbells of that time.
      await sql("UPDATE millrace.admissions SET next_at = now() WHERE kind = 'limit'");
      return 'done';
    case 'daysPass':
      await sql(
        "UPDATE millrace.flows SET due_at = due_at - interval '2 days', expires_at = expires_at - interval '2 days', started_at = started_at - interval '2 days' WHERE id = $1",
        [flowId],
      );
      return 'done';
    default:
      throw new Error(`${step.kind} is about a phase`);
  }
}

async function stepPhase(world: World, step: PhaseStep): Promise<string> {
  const { database, sql } = world.store;
  const id = idOf(world, step);
  const job = world.jobs.get(id)?.at(-1 - step.before);
  switch (step.kind) {
    case 'claim':
      return job === undefined ? 'stale' : claim(world, job);
    case 'timePasses':
      await sql(
        "UPDATE millrace.phases SET due_at = now() - interval '1 minute' WHERE id = $1 AND due_at IS NOT NULL AND NOT (status = 'queued' AND NOT dispatched)",
        [id],
      );
      return 'done';
    case 'dispatchAgain':
    case 'postpone': {
      if (job === undefined) return 'done';
      // As the reconciler does: only what was not claimed in time is looked for.
      const [overdue] = await sql("SELECT FROM millrace.phases WHERE id = $1 AND due_at <= now() - interval '30 seconds'", [id]);
      if (overdue === undefined) return 'done';
      if (step.kind === 'postpone') await postponeCheck(database.hot, [job]);
      else handedOut(world, { dispatches: await dispatchAgain(database.hot, [job]) });
      return 'done';
    }
    default: {
      const held = claimOf(world, step);
      return held === undefined ? 'refused' : commit(world, step, { ...held, id });
    }
  }
}

async function claim(world: World, job: JobRef): Promise<string> {
  world.next += 1;
  const worker = `w${world.next}`;
  const { results } = await claimPhases(world.store.database.hot, [job], { worker, leaseMs: HOUR_MS });
  const [result] = results;
  if (result?.kind === 'claimed') {
    const { fence, run, attempt, attemptMax } = result.phase;
    keep(world.claims, job.id, { fence, worker, run, attempt, attemptMax });
  }
  return result?.kind ?? 'not answered';
}

const said = (isCommitted: boolean | undefined): string => (isCommitted === true ? 'committed' : 'refused');

async function commit(world: World, { kind, choice }: PhaseStep, held: Claim & { id: string }): Promise<string> {
  const { database } = world.store;
  const { id, fence, worker, attempt, attemptMax } = held;
  switch (kind) {
    case 'complete':
      return complete(world, held, choice);
    case 'fail': {
      const retryDelayMs = choice > 0 && attempt < attemptMax ? HOUR_MS : null;
      return said((await failPhase(database, { id, fence, worker, error: { code: 'x', message: 'x' }, retryDelayMs })).committed);
    }
    case 'release': {
      const release = { id, fence, outcome: choice % 2 === 0 ? ('lost' as const) : ('interrupted' as const), reason: 'test', delayMs: 0 };
      const outcome = await releasePhases(database.hot, [release]);
      handedOut(world, outcome);
      return said(outcome.released[0]);
    }
    case 'quarantine':
      return said(
        (await quarantinePhase(database, { id, fence, crashes: 2, seen: choice % 2 === 0 ? { worker, how: 'signal SIGKILL' } : null }))
          .committed,
      );
    case 'suspend': {
      const awaits = awaitsOf(choice);
      const outcome = await suspendPhases(database.hot, [
        {
          id,
          fence,
          worker,
          awaits: { ...awaits, failuresSeen: 0, kind: suspendedKind(awaits.kind), until: awaits.kind === 'time' ? LATER() : null },
        },
      ]);
      handedOut(world, outcome);
      return said(outcome.suspended[0]);
    }
    case 'awaitCallback':
      return said((await awaitCallback(database, { id, fence, worker, timeoutMs: HOUR_MS, backoff: BACKOFF })).committed);
    case 'answer':
      return answer(world, held, choice);
    case 'startChild':
      return startChild(world, held, choice);
    default:
      throw new Error(`${kind} needs no claim`);
  }
}

function suspendedKind(kind: string): 'time' | 'signal' | 'children' {
  return kind === 'signal' || kind === 'children' ? kind : 'time';
}

async function complete(world: World, { id, fence, worker, run }: Claim & { id: string }, choice: number): Promise<string> {
  const completion = { id, fence, worker, outputJson: JSON.stringify(choice), skipped: choice === 3, continues: choice % 2 === 1 };
  const outcome = await completePhases(world.store.database.hot, [completion], { dispatch: true, leaseMs: HOUR_MS });
  handedOut(world, outcome);
  const next = outcome.continued[0] ?? null;
  if (next === null) return said(outcome.committed[0]);
  const { generation, fence: nextFence, attempt, attemptMax } = next;
  keep(world.jobs, next.id, { id: next.id, generation });
  keep(world.claims, next.id, { fence: nextFence, worker, run, attempt, attemptMax });
  return `goes on with ${next.name}`;
}

async function answer(world: World, { id, run, attempt }: Claim & { id: string }, choice: number): Promise<string> {
  const { database } = world.store;
  const token = await mintCallbackToken(database.main, { phaseId: id, run, attempt, backoff: BACKOFF });
  const how = answerOf(choice);
  const outcome =
    how === 'output'
      ? await completeCallback(database, { token, outputJson: '"answer"' })
      : await failCallback(database, { token, error: { code: 'x', message: 'x' }, retryable: how === 'retryable' });
  if (outcome.kind === 'accepted') handedOut(world, outcome);
  return outcome.kind === 'accepted' ? `accepted ${outcome.status}` : outcome.kind === 'refused' ? `refused ${outcome.because}` : 'unknown';
}

async function startChild(world: World, { id, fence, run }: Claim & { id: string }, choice: number): Promise<string> {
  const { extras: _extras, idempotency: _idempotency, dispatch: _dispatch, respond: _respond, ...flow } = asNewFlow(CHILD);
  world.next += 1;
  const child = { key: `c${world.next}`, policy: policyOf(choice), awaited: true, flow };
  const outcome = await startChildren(world.store.database, { phaseId: id, run, fence }, [child]);
  if (outcome.kind !== 'started') return outcome.kind;
  handedOut(world, outcome);
  world.flowIds.push(...outcome.children.filter(({ key }) => key === child.key).map((one) => one.id));
  return 'started';
}

/** The database as a place to aim at, for stories without a model. */
export async function viewOf(world: World): Promise<View> {
  const rows = await world.store.sql<{ id: string; status: string }>('SELECT id, status FROM millrace.phases ORDER BY id');
  const flows = await world.store.sql<{ id: string; status: string }>('SELECT id, status FROM millrace.flows');
  return world.flowIds.map((flowId) => ({
    status: flows.find(({ id }) => id === flowId)?.status ?? '',
    phases: rows
      .filter(({ id }) => groupIdOf(id) === flowId)
      .map(({ id, status }) => ({ status, jobCount: world.jobs.get(id)?.length ?? 0, claimCount: world.claims.get(id)?.length ?? 0 })),
  }));
}
