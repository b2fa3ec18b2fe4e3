-- Who is calling, what was asked before, and which history this is.
CREATE TABLE millrace.instance (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  -- Signs list cursors, the same on every API instance.
  cursor_secret bytea NOT NULL DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
INSERT INTO millrace.instance DEFAULT VALUES;

CREATE TABLE millrace.workspaces (
  name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO millrace.workspaces (name) VALUES ('default');

CREATE TABLE millrace.api_keys (
  id uuid PRIMARY KEY,
  workspace text NOT NULL REFERENCES millrace.workspaces (name),
  name text NOT NULL,
  role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  -- SHA-256 of the secret part; the secret has 256 random bits, so a slow hash would add nothing.
  secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
  requests_per_minute int,
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_workspace ON millrace.api_keys (workspace, id DESC);

-- The answer a key was given, for 24 hours. Written in the transaction that creates the thing.
CREATE TABLE millrace.idempotency_keys (
  workspace text NOT NULL,
  route text NOT NULL,
  key text NOT NULL,
  body_hash bytea NOT NULL,
  status smallint NOT NULL,
  response jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace, route, key)
);
CREATE INDEX idempotency_keys_age ON millrace.idempotency_keys (created_at);
