// Turns a key into a principal: hashed and compared in constant time, looked up and hashed at most once per key and few seconds.
import { timingSafeEqual } from 'node:crypto';
import { AppError, DEFAULT_WORKSPACE, LIMITS, type Principal } from '@millrace/shared';
import type { Clock } from '@millrace/process';
import type { StoredKey } from '@millrace/store';
import { parseApiKey, sha256 } from './api-key.ts';

export type Authenticator = {
  /** From the value of an Authorization header: `Bearer <key>`. @throws AppError unauthorized, dependency-unavailable */
  authenticate(header: string): Principal | Promise<Principal>;
  /** From the key alone. @throws AppError like authenticate */
  authenticateKey(key: string): Principal | Promise<Principal>;
  /** Whether the key behind a principal is still good; streams ask from time to time. @throws AppError dependency-unavailable */
  isStillValid(principal: Principal): Promise<boolean>;
  /** Forgets a key that was just revoked here; other processes notice within CACHE_MS. */
  forget(keyId: string): void;
};

export type AuthenticatorDeps = {
  /** A key that is neither revoked nor expired. */
  findKey(id: string): Promise<StoredKey | undefined>;
  /** MILLRACE_ADMIN_KEY: admin of the workspace `default`, without a limit of requests. */
  adminKey: string | undefined;
  clock: Clock;
};

/** The id that requests with MILLRACE_ADMIN_KEY are accounted to. */
export const BOOTSTRAP_KEY_ID = 'bootstrap';
/** How long a look-up is believed. A revoked key must be refused within 5 s, the look-up itself included. */
const CACHE_MS = 4_000;
/** Keys remembered at a time; beyond it the oldest look-up is forgotten. */
const CACHED_KEYS_MAX = 10_000;
/** Headers whose key was proved lately and need not be hashed again. Only what was right is kept, and never beyond its look-up. */
const PROVED_MAX = 1_000;
const BEARER_PATTERN = /^Bearer +(mr_[\x21-\x7e]{1,500}) *$/i;

type Entry = { key: StoredKey | undefined; until: number };
/** The look-up that a header was proved by; undefined: it is MILLRACE_ADMIN_KEY. */
type Proved = { principal: Principal; entry: Entry | undefined };

export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const keys = createKeyLookups(deps);
  const adminHash = deps.adminKey === undefined ? undefined : sha256(deps.adminKey);
  const admin: Principal = { workspace: DEFAULT_WORKSPACE, role: 'admin', keyId: BOOTSTRAP_KEY_ID, requestsPerMinute: 0 };

  const proved = createProved({ cached: keys.cached, clock: deps.clock });

  const authenticateKey = (text: string): Principal | Promise<Principal> => {
    if (adminHash !== undefined && timingSafeEqual(sha256(text), adminHash)) return admin;
    const parsed = parseApiKey(text);
    if (parsed === undefined) throw new AppError('unauthorized');
    const secretHash = sha256(parsed.secret);
    const entry = keys.cached(parsed.id);
    if (entry !== undefined) return principalOf(entry.key, secretHash, deps.clock);
    return keys.lookUp(parsed.id).then((key) => principalOf(key, secretHash, deps.clock));
  };

  return {
    authenticate: (header) => {
      const known = proved.get(header);
      if (known !== undefined) return known;
      const key = BEARER_PATTERN.exec(header)?.[1];
      if (key === undefined) throw new AppError('unauthorized');
      const found = authenticateKey(key);
      if (!(found instanceof Promise)) proved.add(header, found);
      return found;
    },
    authenticateKey,
    isStillValid: async ({ keyId }) => {
      if (keyId === BOOTSTRAP_KEY_ID) return true;
      const key = keys.cached(keyId)?.key ?? (await keys.lookUp(keyId));
      return isInForce(key, deps.clock);
    },
    forget: keys.forget,
  };
}

// A header is found by the hash that the engine seeds at its start, before any of its text is compared: how long that takes tells nothing
// about a key that is nearly right.
function createProved({ cached, clock }: { cached(id: string): Entry | undefined; clock: Clock }) {
  const headers = new Map<string, Proved>();
  const isGood = ({ principal, entry }: Proved) =>
    principal.keyId === BOOTSTRAP_KEY_ID || (entry !== undefined && cached(principal.keyId) === entry && isInForce(entry.key, clock));
  return {
    get: (header: string): Principal | undefined => {
      const known = headers.get(header);
      if (known === undefined) return undefined;
      if (isGood(known)) return known.principal;
      headers.delete(header);
      return undefined;
    },
    add: (header: string, principal: Principal) => {
      headers.set(header, { principal, entry: cached(principal.keyId) });
      const [oldest] = headers.keys();
      if (headers.size > PROVED_MAX && oldest !== undefined) headers.delete(oldest);
    },
  };
}

/** Looks keys up, each at most once at a time and per CACHE_MS. */
function createKeyLookups(deps: Pick<AuthenticatorDeps, 'findKey' | 'clock'>) {
  const entries = new Map<string, Entry>();
  const lookups = new Map<string, Promise<StoredKey | undefined>>();
  const remember = (id: string, entry: Entry) => {
    entries.delete(id);
    entries.set(id, entry);
    const [oldest] = entries.keys();
    if (entries.size > CACHED_KEYS_MAX && oldest !== undefined) entries.delete(oldest);
  };
  const lookUpOnce = async (id: string): Promise<StoredKey | undefined> => {
    const until = deps.clock.monotonicMs() + CACHE_MS;
    try {
      const key = await deps.findKey(id);
      remember(id, { key, until });
      return key;
    } finally {
      lookups.delete(id);
    }
  };
  const lookUp = (id: string): Promise<StoredKey | undefined> => {
    const lookup = lookups.get(id) ?? lookUpOnce(id);
    lookups.set(id, lookup);
    return lookup;
  };
  const cached = (id: string): Entry | undefined => {
    const entry = entries.get(id);
    return entry !== undefined && entry.until > deps.clock.monotonicMs() ? entry : undefined;
  };
  return {
    cached,
    lookUp,
    forget: (id: string) => {
      entries.set(id, { key: undefined, until: deps.clock.monotonicMs() + CACHE_MS });
    },
  };
}

function principalOf(key: StoredKey | undefined, secretHash: Buffer, clock: Clock): Principal {
  if (key === undefined || !timingSafeEqual(key.secret_hash, secretHash) || !isInForce(key, clock)) throw new AppError('unauthorized');
  const requestsPerMinute = key.requests_per_minute ?? LIMITS.requestsPerMinute;
  return { workspace: key.workspace, role: key.role, keyId: key.id, requestsPerMinute };
}

function isInForce(key: StoredKey | undefined, clock: Clock): boolean {
  return key !== undefined && (key.expires_at === null || key.expires_at.getTime() > clock.nowMs());
}
