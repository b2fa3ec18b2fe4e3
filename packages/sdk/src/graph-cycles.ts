// Finds what lies on a cycle of needs. Without recursion: a chain may be 20,000 long.

type Node = { ordinal: number; needs: readonly number[]; dependants: readonly number[] };

/** The nodes that need themselves, directly or through others, in their order; what merely lies before or behind a cycle is not among them. */
export function onCycles<Phase extends Node>(phases: readonly Phase[]): Phase[] {
  const tangled = neverFreed(phases);
  if (tangled.size === 0) return [];
  // Kosaraju's algorithm: taken in the reverse order of their ends, what reaches a node backwards is on cycles with it.
  const left = new Set(tangled);
  const found = new Set<number>();
  for (const ordinal of endOrder(phases, tangled).toReversed()) {
    if (!left.has(ordinal)) continue;
    const component = takeReachable(phases, ordinal, left);
    const needsItself = phases[ordinal]?.needs.includes(ordinal) === true;
    if (component.length > 1 || needsItself) for (const member of component) found.add(member);
  }
  return phases.filter((phase) => found.has(phase.ordinal));
}

// Kahn's algorithm: what is never freed lies on a cycle or behind one. All there is to do for nearly every flow.
function neverFreed(phases: readonly Node[]): Set<number> {
  const open = phases.map((phase) => phase.needs.length);
  const free = phases.filter((phase) => phase.needs.length === 0).map((phase) => phase.ordinal);
  const left = new Set(phases.map((phase) => phase.ordinal));
  for (let next = free.pop(); next !== undefined; next = free.pop()) {
    left.delete(next);
    for (const dependant of phases[next]?.dependants ?? []) {
      open[dependant] = (open[dependant] ?? 0) - 1;
      if (open[dependant] === 0) free.push(dependant);
    }
  }
  return left;
}

/** The order in which a walk along dependants is done with each. */
function endOrder(phases: readonly Node[], among: ReadonlySet<number>): number[] {
  const seen = new Set<number>();
  const ended: number[] = [];
  for (const start of among) {
    const path: { ordinal: number; next: number }[] = seen.has(start) ? [] : [{ ordinal: start, next: 0 }];
    seen.add(start);
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const dependant = phases[step.ordinal]?.dependants[step.next];
      step.next += 1;
      if (dependant === undefined) ended.push(path.pop()?.ordinal ?? -1);
      else if (among.has(dependant) && !seen.has(dependant)) {
        seen.add(dependant);
        path.push({ ordinal: dependant, next: 0 });
      }
    }
  }
  return ended;
}

/** Takes out of `left` what can be reached along needs. */
function takeReachable(phases: readonly Node[], start: number, left: Set<number>): number[] {
  const reached = [start];
  left.delete(start);
  for (let index = 0; index < reached.length; index += 1) {
    for (const need of phases[reached[index] ?? -1]?.needs ?? []) if (left.delete(need)) reached.push(need);
  }
  return reached;
}
