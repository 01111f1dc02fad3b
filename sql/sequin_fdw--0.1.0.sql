\echo Use "CREATE EXTENSION sequin_fdw" to load this file. \quit

CREATE FUNCTION sequin_fdw_handler() RETURNS fdw_handler
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_fdw_handler_wrapper';

CREATE FUNCTION sequin_fdw_validator(options text[], catalog oid) RETURNS void
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_fdw_validator_wrapper';

CREATE FOREIGN DATA WRAPPER sequin_fdw
  HANDLER sequin_fdw_handler VALIDATOR sequin_fdw_validator;

CREATE FUNCTION session_stats(
  OUT server oid,
  OUT requests bigint,
  OUT retries bigint,
  OUT errors bigint,
  OUT throttled bigint,
  OUT rows bigint,
  OUT bytes bigint,
  OUT quota_used bigint,
  OUT quota_left bigint
) RETURNS SETOF record
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_session_stats_wrapper';

CREATE VIEW stats AS
  SELECT s.srvname AS server, t.requests, t.retries, t.errors, t.throttled, t.rows, t.bytes, t.quota_used, t.quota_left
  FROM session_stats() t JOIN pg_foreign_server s ON s.oid = t.server;

COMMENT ON VIEW stats IS
  'What this session has asked of each server. The quota is what the API last said of its own.';

CREATE FUNCTION unconfirmed(
  OUT happened timestamptz,
  OUT server text,
  OUT object text,
  OUT operation text,
  OUT outcome text,
  OUT id text,
  OUT sent jsonb
) RETURNS SETOF record
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_unconfirmed_wrapper';

COMMENT ON FUNCTION unconfirmed() IS
  'Writes of this session that outlived a rollback (outcome written), or of which nobody knows whether the API did them (unknown).';

CREATE FUNCTION upsert(target regclass, key name, records jsonb)
  RETURNS TABLE (ordinal integer, id text, created boolean)
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_upsert_wrapper';

COMMENT ON FUNCTION upsert(regclass, name, jsonb) IS
  'Inserts records, or updates those with the same value in the column key. records: a JSON array of objects whose members are columns.';

CREATE FUNCTION call(server name, method text, path text, body jsonb DEFAULT NULL)
  RETURNS TABLE (status integer, headers jsonb, body jsonb)
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_call_wrapper';

COMMENT ON FUNCTION call(name, text, text, jsonb) IS
  'Sends one request to the server''s own host, with its credentials; a refusal is an answer, too.';

GRANT USAGE ON SCHEMA sequin TO PUBLIC;
GRANT SELECT ON stats TO PUBLIC;

-- Synced tables. How each is followed belongs to the database, and so to its dumps, which whoever owns the database makes.
-- Nobody but the extension writes it.

CREATE TABLE sync (
  target regclass PRIMARY KEY,
  source regclass NOT NULL,
  every interval NOT NULL,
  options jsonb NOT NULL,
  -- Where the records are: the API's address, and the object.
  origin jsonb NOT NULL,
  -- How the connector asks for changes; NULL if all is to be read and compared.
  feed jsonb,
  -- Up to where changes have been kept.
  since jsonb,
  -- Whether all has been here once.
  filled boolean NOT NULL DEFAULT false,
  -- A sweep that is under way: when it began, and up to where it is kept.
  sweep_began timestamptz,
  sweep_position jsonb,
  sweep_read bigint NOT NULL DEFAULT 0,
  swept_at timestamptz,
  -- What all rows have been compared in: a column's places in the foreign table and in the target, its field, type, name.
  columns jsonb,
  -- Which fields the object had when it was begun with.
  fields jsonb,
  -- Keys of records that the table refuses.
  refused jsonb,
  -- About how many records there are.
  expected bigint,
  -- When the table was last as the API had it, and when something was last changed in it.
  current_at timestamptz,
  changed_at timestamptz,
  requests bigint NOT NULL DEFAULT 0,
  -- What is left of the allowance of requests, and when that was.
  tokens double precision,
  tokens_at timestamptz,
  failures integer NOT NULL DEFAULT 0,
  next_try timestamptz
);

-- What is to be told of them: of rows and of the API, which is for the roles of each table alone.
CREATE TABLE sync_told (
  target regclass PRIMARY KEY,
  error text,
  note text,
  -- How the API's object differs from the foreign table.
  schema_note text
);

-- Records that users deleted: what was read before must not bring them back.
CREATE TABLE sync_deleted (target regclass NOT NULL, key text NOT NULL, at timestamptz NOT NULL);

CREATE INDEX ON sync_deleted (target, at);

SELECT pg_extension_config_dump('sync', '');
GRANT SELECT ON sync TO pg_database_owner;

CREATE FUNCTION wake_worker() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_wake_worker';

CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OF every OR DELETE ON sync
  FOR EACH STATEMENT EXECUTE FUNCTION wake_worker();

CREATE FUNCTION write_through() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_write_through';

CREATE FUNCTION merging(target regclass) RETURNS boolean
  LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'sequin_merging_wrapper';

COMMENT ON FUNCTION merging(regclass) IS
  'Whether the running statement writes to a synced table what the API has already: for WHEN clauses of triggers.';

CREATE FUNCTION start_sync(source regclass, target text, every interval DEFAULT '30 seconds', options jsonb DEFAULT '{}')
  RETURNS regclass
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_start_sync_wrapper';

COMMENT ON FUNCTION start_sync(regclass, text, interval, jsonb) IS
  'Makes a local table that is kept equal to a foreign table, and whose writes go to the API first.';

CREATE FUNCTION refresh(target regclass) RETURNS bigint
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_refresh_wrapper';

COMMENT ON FUNCTION refresh(regclass) IS 'Brings a synced table up to date now; returns the number of rows changed.';

CREATE FUNCTION stop_sync(target regclass) RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_stop_sync_wrapper';

COMMENT ON FUNCTION stop_sync(regclass) IS 'Ends the syncing of a table, and keeps it as an ordinary one.';

CREATE FUNCTION has_worker() RETURNS boolean
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_has_worker_wrapper';

COMMENT ON FUNCTION has_worker() IS 'Whether a worker keeps the synced tables of this database.';

-- Functions of whoever asks see no rows but their own.
CREATE VIEW sync_status WITH (security_barrier) AS
  SELECT s.target, s.source,
    CASE WHEN t.error IS NOT NULL THEN 'failing' WHEN s.filled THEN 'current' ELSE 'filling' END AS state,
    CASE WHEN s.filled
      THEN coalesce(nullif(pg_stat_get_live_tuples(s.target), 0), nullif(greatest(c.reltuples, 0)::bigint, 0), s.sweep_read)
      ELSE s.sweep_read END AS rows,
    CASE WHEN s.filled THEN 100
      WHEN s.expected IS NOT NULL THEN least(99, 100 * s.sweep_read / greatest(s.expected, s.sweep_read, 1))::integer END AS percent,
    s.every, s.changed_at AS last_change, clock_timestamp() - s.current_at AS lag, s.requests,
    t.error AS last_error,
    nullif(concat_ws('; ', t.note, t.schema_note,
      CASE WHEN NOT has_worker() THEN 'no worker runs: see shared_preload_libraries and max_worker_processes' END,
      'not synced any more: ' || (
        SELECT string_agg(e->>4, ', ') FROM jsonb_array_elements(s.columns) e
        WHERE NOT EXISTS (
          SELECT FROM pg_attribute l JOIN pg_attribute f ON f.attname = l.attname
          WHERE l.attrelid = s.target AND f.attrelid = s.source AND l.attname = e->>4
            AND NOT l.attisdropped AND NOT f.attisdropped)),
      CASE WHEN (
        SELECT count(*) FROM pg_trigger g
        WHERE g.tgrelid = s.target AND g.tgfoid = 'write_through'::regproc AND g.tgenabled IN ('O', 'A')) < 6
      THEN 'triggers of sequin_fdw are dropped or disabled, so that not all that is written here is sent' END
    ), '') AS note, s.next_try
  FROM sync s JOIN pg_class c ON c.oid = s.target LEFT JOIN sync_told t ON t.target = s.target
  WHERE pg_has_role(c.relowner, 'MEMBER');

COMMENT ON VIEW sync_status IS 'The synced tables of the roles that one is a member of.';

GRANT SELECT ON sync_status TO PUBLIC;
