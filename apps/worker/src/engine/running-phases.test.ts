import { describe, expect, it } from '@jest/globals';
import { newGroupId, memberId } from '@millrace/shared';
import type { ClaimedPhase } from '@millrace/store';
import { PhaseStopped } from './outcome.ts';
import { createRunningPhases } from './running-phases.ts';

const claimed = (flowId: string, fence = 1): ClaimedPhase => ({
  id: memberId(flowId, 0),
  flowId,
  workspace: 'default',
  flow: 'f',
  version: 1,
  run: 1,
  name: 'only',
  fence,
  attempt: 1,
  attemptMax: 1,
  crashes: 0,
  generation: 1,
  priority: 50,
  createdBy: 'test',
  interruptedAt: null,
  input: {},
  outputs: {},
  startedAt: new Date(0),
});

describe('running phases', () => {
  it('are listed from add to remove, two claims of one phase apart', () => {
    const phases = createRunningPhases();
    const flowId = newGroupId();
    const [older, newer] = [
      phases.add(claimed(flowId, 1), { claimedAtMs: 1, deliveryId: '' }),
      phases.add(claimed(flowId, 2), { claimedAtMs: 2, deliveryId: '' }),
    ];
    expect(phases.list()).toEqual([older, newer]);
    phases.remove(older);
    phases.remove(older);
    expect(phases.list()).toEqual([newer]);
  });

  it('are stopped by flow', () => {
    const phases = createRunningPhases();
    const [one, other] = [newGroupId(), newGroupId()];
    const [first, second] = [
      phases.add(claimed(one), { claimedAtMs: 1, deliveryId: '' }),
      phases.add(claimed(other), { claimedAtMs: 1, deliveryId: '' }),
    ];
    expect(phases.stopFlow(one, 'cancelled')).toBe(1);
    expect([first.stopReason(), second.stopReason()]).toEqual(['cancelled', undefined]);
    expect([first.signal.aborted, second.signal.aborted]).toEqual([true, false]);
    expect(phases.stopFlow(newGroupId(), 'cancelled')).toBe(0);
  });

  it('keep the first reason they were stopped for, and tell it by their signal', () => {
    const phases = createRunningPhases();
    const running = phases.add(claimed(newGroupId()), { claimedAtMs: 1, deliveryId: '' });
    phases.stopAll('shutdown');
    running.stop('lease-lost');
    expect(running.stopReason()).toBe('shutdown');
    expect(running.signal.reason).toEqual(new PhaseStopped('shutdown'));
    const heard: string[] = [];
    running.whenStopped((reason) => heard.push(reason));
    expect(heard).toEqual(['shutdown']);
  });

  it('tell listeners of the end, not of the soft time limit before it, and keep the reason that the signal aborted with', () => {
    const phases = createRunningPhases();
    const running = phases.add(claimed(newGroupId()), { claimedAtMs: 1, deliveryId: '' });
    const heard: string[] = [];
    running.whenStopped((reason) => heard.push(`before: ${reason}`));
    running.stop('soft-timeout');
    running.whenStopped((reason) => heard.push(`after: ${reason}`));
    expect(heard).toEqual([]);
    running.stop('cancelled');
    running.stop('shutdown');
    expect(heard).toEqual(['before: cancelled', 'after: cancelled']);
    expect(running.stopReason()).toBe('cancelled');
    // Asked for only now, it tells what it would have told then.
    expect(running.signal.reason).toEqual(new PhaseStopped('soft-timeout'));
  });

  it('tell an observer of every reason to stop and of their end, once', () => {
    const told: unknown[] = [];
    const phases = createRunningPhases({
      onStop: (running, reason) => told.push([running.phase.flowId, reason]),
      onRemove: (running) => told.push([running.phase.flowId, 'removed']),
    });
    const [flowId, other] = [newGroupId(), newGroupId()];
    const running = phases.add(claimed(flowId), { claimedAtMs: 1, deliveryId: '' });
    phases.add(claimed(other), { claimedAtMs: 1, deliveryId: '' });
    phases.stopAll('shutdown');
    phases.stopFlow(flowId, 'cancelled');
    phases.refused(claimed(other));
    phases.refused(claimed(newGroupId()));
    phases.remove(running);
    phases.remove(running);
    expect(told).toEqual([
      [flowId, 'shutdown'],
      [other, 'shutdown'],
      [flowId, 'cancelled'],
      [other, 'lease-lost'],
      [flowId, 'removed'],
    ]);
  });

  it('doubt a claim that was under way when its flow was told to stop, and no later one', () => {
    let [doubts, nowMs] = [0, 10_000];
    const phases = createRunningPhases({
      nowMs: () => nowMs,
      onDoubt: () => {
        doubts += 1;
      },
    });
    const flowId = newGroupId();
    phases.stopFlow(flowId, 'cancelled');
    phases.add(claimed(flowId), { claimedAtMs: 9_900, deliveryId: '' });
    phases.add(claimed(newGroupId()), { claimedAtMs: 9_900, deliveryId: '' });
    expect(doubts).toBe(1);
    nowMs = 20_000;
    phases.add(claimed(flowId, 2), { claimedAtMs: nowMs, deliveryId: '' });
    expect(doubts).toBe(1);
  });

  it('keep how they were left', () => {
    const running = createRunningPhases().add(claimed(newGroupId()), { claimedAtMs: 1, deliveryId: '' });
    expect(running.leftAs()).toBeUndefined();
    running.leave('killed');
    running.leave('fenced');
    expect(running.leftAs()).toBe('killed');
  });
});
