// Finds the routes of a path by one walk over its segments, whatever their number. Case, trailing slashes and doubled slashes count.
import { AppError } from '@millrace/shared';
import type { Route } from './route.ts';

export type Params = Readonly<Record<string, string>>;

export type FoundPath<Value> = { value: Value; params: Params };

export type RouteTable<Value> = {
  /**
   * `path` as it was sent, without its query. A fixed path comes before one with parameters.
   * @throws AppError invalid-encoding when a parameter is not valid percent-encoded UTF-8
   */
  find(path: string): FoundPath<Value> | undefined;
};

type Branch<Value> = { fixed: Map<string, Branch<Value>>; any: Branch<Value> | undefined; leaf: Leaf<Value> | undefined };
type Leaf<Value> = { value: Value; names: readonly string[] };

const NO_PARAMS: Params = Object.freeze({});
const PARAMETER_PATTERN = /^\{([A-Za-z]+)\}$/;

/**
 * @param valueOf makes once what is found by a path, from all routes that share it
 * @throws Error when two paths differ only in the names of their parameters
 */
export function createRouteTable<Value>(routes: readonly Route[], valueOf: (routes: readonly Route[]) => Value): RouteTable<Value> {
  const fixed = new Map<string, FoundPath<Value>>();
  const root = newBranch<Value>();
  for (const [path, sharing] of Map.groupBy(routes, (route) => route.path)) {
    const value = valueOf(sharing);
    if (path.includes('{')) plant(root, path, value);
    else fixed.set(path, { value, params: NO_PARAMS });
  }
  return {
    find: (path) => {
      const known = fixed.get(path);
      if (known !== undefined) return known;
      const segments = path.split('/');
      const leaf = walk(root, segments, 1);
      return leaf === undefined ? undefined : { value: leaf.value, params: paramsOf(leaf, segments) };
    },
  };
}

function newBranch<Value>(): Branch<Value> {
  return { fixed: new Map(), any: undefined, leaf: undefined };
}

function plant<Value>(root: Branch<Value>, path: string, value: Value): void {
  const names: string[] = [];
  let at = root;
  for (const [index, segment] of path.split('/').slice(1).entries()) {
    const name = PARAMETER_PATTERN.exec(segment)?.[1];
    // Where the parameters stand is kept with their names: an empty name means that the segment is fixed.
    names[index] = name ?? '';
    const next = (name === undefined ? at.fixed.get(segment) : at.any) ?? newBranch<Value>();
    if (name === undefined) at.fixed.set(segment, next);
    else at.any = next;
    at = next;
  }
  if (at.leaf !== undefined) throw new Error(`the path ${path} is declared twice, with other names of its parameters`);
  at.leaf = { value, names };
}

function walk<Value>(branch: Branch<Value>, segments: readonly string[], depth: number): Leaf<Value> | undefined {
  const segment = segments[depth];
  if (segment === undefined) return branch.leaf;
  const fixed = branch.fixed.get(segment);
  const found = fixed && walk(fixed, segments, depth + 1);
  if (found !== undefined || segment === '' || branch.any === undefined) return found;
  return walk(branch.any, segments, depth + 1);
}

function paramsOf({ names }: Leaf<unknown>, segments: readonly string[]): Params {
  const params: Record<string, string> = {};
  for (const [index, name] of names.entries()) if (name !== '') params[name] = decode(segments[index + 1] ?? '');
  return params;
}

function decode(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    throw new AppError('invalid-encoding', { detail: 'The address is not valid percent-encoded UTF-8.' }, { cause: error });
  }
}
