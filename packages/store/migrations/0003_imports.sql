-- Datasets (tables that imports fill, each in the schema data_<workspace>), imports, their chunks and their rejects.
CREATE TABLE millrace.datasets (
  workspace text NOT NULL,
  name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  -- Tells a dataset from a later one of the same name.
  id uuid NOT NULL UNIQUE,
  columns jsonb NOT NULL,
  key text[] NOT NULL,
  -- Whether the table has the column `extra`, which the first import with onUnknownColumn `keep` adds.
  has_extra boolean NOT NULL DEFAULT false,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workspace, name)
);

CREATE TABLE millrace.imports (
  -- Its last 16 bits are zero; its chunks' ids follow it.
  id uuid PRIMARY KEY,
  workspace text NOT NULL,
  dataset text NOT NULL,
  dataset_id uuid NOT NULL,
  mode text NOT NULL CHECK (mode IN ('insert', 'upsert', 'replace')),
  format text NOT NULL CHECK (format IN ('auto', 'csv', 'ndjson')),
  status text NOT NULL CHECK (status IN ('awaiting_content', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled', 'undone')),
  -- What was asked for: mapping, csv, onUnknownColumn, maxRejects.
  options jsonb NOT NULL,
  -- Name of the spooled file in the upload storage; null before content and after the file was removed.
  content_ref text,
  -- Of the bytes as they were sent.
  size_bytes bigint,
  sha256 text,
  header jsonb,
  -- How rows are read: dialect, columns and key as they were when the content came, and which source column fills which.
  plan jsonb,
  -- Of the spooled file, decompressed.
  bytes_total bigint,
  bytes_done bigint NOT NULL DEFAULT 0,
  rows_inserted bigint NOT NULL DEFAULT 0,
  rows_updated bigint NOT NULL DEFAULT 0,
  rows_unchanged bigint NOT NULL DEFAULT 0,
  rows_superseded bigint NOT NULL DEFAULT 0,
  rows_rejected bigint NOT NULL DEFAULT 0,
  -- Rows of import_rejects; the list is cut at a limit, the count is not.
  rejects_kept int NOT NULL DEFAULT 0,
  -- Whether the last chunk held duplicate keys, so that the next one is staged rather than copied straight into the table.
  has_duplicates boolean NOT NULL DEFAULT false,
  chunks_total int,
  chunks_done int NOT NULL DEFAULT 0,
  error jsonb,
  -- As in flows: whoever writes an event holds this row's lock.
  seq_last int NOT NULL DEFAULT 0,
  -- One upload at a time: who is sending, and until when that is believed without renewal.
  upload_id uuid,
  upload_until timestamptz,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  queued_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX imports_by_workspace ON millrace.imports (workspace, id DESC);
CREATE INDEX imports_by_dataset ON millrace.imports (workspace, dataset, id DESC);
CREATE INDEX imports_by_status ON millrace.imports (workspace, status, id DESC) WHERE status NOT IN ('completed');
CREATE INDEX imports_by_content ON millrace.imports (content_ref) WHERE content_ref IS NOT NULL;

CREATE TABLE millrace.import_chunks (
  -- The import's id plus the chunk's number (1..65535) in the last 16 bits.
  id uuid PRIMARY KEY,
  import_id uuid NOT NULL,
  workspace text NOT NULL,
  ordinal int NOT NULL,
  byte_offset bigint NOT NULL,
  byte_length bigint NOT NULL,
  -- Physical line of the file where its first record starts.
  first_line bigint NOT NULL,
  -- CRC-32 of each block of the spooled file that the chunk touches, 4 bytes each, most significant first.
  checksums bytea NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'queued', 'running', 'done', 'cancelled')),
  -- These work as in phases.
  generation int NOT NULL DEFAULT 0,
  dispatched boolean NOT NULL DEFAULT false,
  due_at timestamptz,
  fence bigint NOT NULL DEFAULT 0,
  lease_owner text,
  crashes smallint NOT NULL DEFAULT 0,
  attempts smallint NOT NULL DEFAULT 0,
  -- How often it went back without using an attempt since it last got on.
  interruptions smallint NOT NULL DEFAULT 0,
  rows_inserted int NOT NULL DEFAULT 0,
  rows_updated int NOT NULL DEFAULT 0,
  rows_unchanged int NOT NULL DEFAULT 0,
  rows_superseded int NOT NULL DEFAULT 0,
  rows_rejected int NOT NULL DEFAULT 0,
  started_at timestamptz,
  finished_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX import_chunks_due ON millrace.import_chunks (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE millrace.import_rejects (
  import_id uuid NOT NULL,
  line bigint NOT NULL,
  workspace text NOT NULL,
  column_name text,
  code text NOT NULL,
  message text NOT NULL,
  -- The record as it stands in the file, cut at 8 KiB.
  raw text NOT NULL,
  PRIMARY KEY (import_id, line)
);
