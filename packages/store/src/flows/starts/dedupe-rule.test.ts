// The rule of dedupe keys, case by case.
import { describe, expect, it } from '@jest/globals';
import type { DedupeMode, FlowStatus } from '@millrace/shared';
import { decideStart } from './dedupe-rule.ts';

const decide = (mode: DedupeMode, status: FlowStatus, { started = true, ageMs = 1_000, windowMs = null as number | null } = {}) =>
  decideStart({ mode, windowMs }, { status, started, ageMs });

describe('decideStart', () => {
  it.each(['reject', 'return', 'replace', 'window'] as const)('creates with %s when the key stands for nothing', (mode) => {
    expect(decideStart({ mode, windowMs: 60_000 }, undefined)).toBe('create');
  });

  it.each(['completed', 'failed', 'cancelled'] as const)('creates anew after a flow that is %s, but for a window', (status) => {
    expect((['reject', 'return', 'replace'] as const).map((mode) => decide(mode, status))).toEqual(['create', 'create', 'create']);
    expect(decide('window', status, { windowMs: 2_000 })).toBe('existing');
  });

  it.each(['queued', 'running', 'waiting', 'paused'] as const)('heeds a flow that is %s', (status) => {
    expect((['reject', 'return', 'replace'] as const).map((mode) => decide(mode, status))).toEqual(['duplicate', 'existing', 'existing']);
  });

  it('replaces what has not started', () => {
    expect((['queued', 'waiting', 'paused'] as const).map((status) => decide('replace', status, { started: false }))).toEqual([
      'replace',
      'replace',
      'replace',
    ]);
  });

  it('counts a window from the start that was accepted, and excludes its end', () => {
    expect([999, 1_000, 1_001].map((ageMs) => decide('window', 'running', { ageMs, windowMs: 1_000 }))).toEqual([
      'existing',
      'create',
      'create',
    ]);
  });
});
