// Which incident a failed phase belongs to.
import { v5 } from 'uuid';
import { canonicalJson } from '../canonical-json.ts';
import { failureCause } from './failure-cause.ts';

/** Made once, for this purpose only (RFC 9562, 5.5). */
const INCIDENT_NAMESPACE = 'b2f6f3d4-7c1e-4e57-9a53-0d9b8c4a1e60';

export type PhaseFailureFacts = { workspace: string; flow: string; phase: string; error: { code: string; message: string } };

/** The id of the incident: the same UUIDv5 for every failure of one workspace, flow name, phase name and cause. */
export function incidentIdOf({ workspace, flow, phase, error }: PhaseFailureFacts): string {
  return v5(canonicalJson([workspace, flow, phase, failureCause(error)]), INCIDENT_NAMESPACE);
}
