// Built-in flows and the loader for others.
export { loadFlows } from './load-flows.ts';
