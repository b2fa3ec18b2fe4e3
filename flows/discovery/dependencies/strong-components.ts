// Strongly connected components of a directed graph, without recursion: a chain of any length must not exhaust the stack.

export type StrongComponents = {
  /** By node: the number of its component. A component's successors have lower numbers: 0 depends on nothing else. */
  componentOf: Int32Array;
  /** By component: its nodes. */
  members: readonly (readonly number[])[];
};

type Visit = {
  order: Int32Array;
  low: Int32Array;
  componentOf: Int32Array;
  open: number[];
  onStack: Uint8Array;
  members: number[][];
  next: number;
};

/** Tarjan's algorithm (Tarjan 1972, "Depth-first search and linear graph algorithms"), with its call stack kept in arrays. */
export function strongComponents(targets: readonly (readonly number[])[]): StrongComponents {
  const size = targets.length;
  const visit: Visit = {
    order: new Int32Array(size).fill(-1),
    low: new Int32Array(size),
    componentOf: new Int32Array(size).fill(-1),
    open: [],
    onStack: new Uint8Array(size),
    members: [],
    next: 0,
  };
  for (let root = 0; root < size; root += 1) if (visit.order[root] === -1) searchFrom(root, targets, visit);
  return { componentOf: visit.componentOf, members: visit.members };
}

function searchFrom(root: number, targets: readonly (readonly number[])[], visit: Visit): void {
  const path = [{ node: root, edge: 0 }];
  enter(root, visit);
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const target = targets[top.node]?.[top.edge];
    top.edge += 1;
    if (target === undefined) {
      path.pop();
      leave(top.node, path.at(-1)?.node, visit);
    } else if (visit.order[target] === -1) {
      enter(target, visit);
      path.push({ node: target, edge: 0 });
    } else if (visit.onStack[target] === 1) {
      visit.low[top.node] = Math.min(visit.low[top.node] ?? 0, visit.order[target] ?? 0);
    }
  }
}

function enter(node: number, visit: Visit): void {
  visit.order[node] = visit.next;
  visit.low[node] = visit.next;
  visit.next += 1;
  visit.open.push(node);
  visit.onStack[node] = 1;
}

function leave(node: number, parent: number | undefined, visit: Visit): void {
  const low = visit.low[node] ?? 0;
  if (parent !== undefined) visit.low[parent] = Math.min(visit.low[parent] ?? 0, low);
  if (low !== visit.order[node]) return;
  const members = visit.open.splice(visit.open.lastIndexOf(node));
  for (const member of members) {
    visit.onStack[member] = 0;
    visit.componentOf[member] = visit.members.length;
  }
  visit.members.push(members);
}
