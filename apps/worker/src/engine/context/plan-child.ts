// From a call of ctx.start to a flow that the store can insert. What is wrong with it is the handler's fault and fails the phase for good.
import { LIMITS, storableJson, tagsSchema } from '@millrace/shared';
import { PermanentError, type FlowPlanner, type StartOptions } from '@millrace/sdk';
import type { ClaimedPhase, NewChild } from '@millrace/store';

type ChildCall = { flow: string; input: unknown; key: string; options: StartOptions };

/** @throws PermanentError saying what does not fit */
export function planChild(
  { planner, phase }: { planner: FlowPlanner; phase: ClaimedPhase },
  { flow, input, key, options }: ChildCall,
): NewChild {
  const json = storableJson(input, LIMITS.bodyBytesMax);
  if (!json.ok) throw new PermanentError(`the input of child flow ${flow} cannot be kept: ${json.problem}`);
  const plan = planner.plan(flow, JSON.parse(json.text));
  if (plan.kind === 'unknown-flow') throw new PermanentError(`there is no flow definition "${flow}"`);
  if (plan.kind === 'invalid-input')
    throw new PermanentError(`the input of child flow ${flow} is not valid: ${plan.issues[0]?.message ?? ''}`);
  if (plan.kind === 'invalid-flow') throw new PermanentError(`child flow ${flow}: ${plan.faults[0]?.message ?? ''}`);
  const { definition, phases, timeoutMs } = plan.flow;
  const priority = options.priority ?? phase.priority;
  if (!Number.isInteger(priority) || priority < 1 || priority > 100) throw new PermanentError('a priority is a whole number from 1 to 100');
  const tags = tagsSchema.safeParse(options.tags ?? {});
  if (!tags.success) throw new PermanentError(`the tags of child flow ${flow} are not valid: ${tags.error.issues[0]?.message ?? ''}`);
  return {
    key,
    policy: options.onFailure ?? 'fail',
    awaited: options.wait ?? true,
    flow: {
      workspace: phase.workspace,
      createdBy: phase.createdBy,
      name: definition.name,
      version: definition.version,
      inputJson: json.text,
      tags: tags.data,
      priority,
      runAt: null,
      phases,
      ...(timeoutMs === null ? {} : { extras: { timeoutMs } }),
    },
  };
}
