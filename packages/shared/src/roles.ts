// Who may do what: three roles, each including the one before.

export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** True when `held` includes `needed`. */
export function roleAllows(held: Role, needed: Role): boolean {
  return ROLES.indexOf(held) >= ROLES.indexOf(needed);
}

/** The workspace that exists from the start and whose admins may make others. */
export const DEFAULT_WORKSPACE = 'default';

/** Who is calling: found from an API key; carried into every store call. `requestsPerMinute`: 0 for no limit. */
export type Principal = { workspace: string; role: Role; keyId: string; requestsPerMinute: number };
