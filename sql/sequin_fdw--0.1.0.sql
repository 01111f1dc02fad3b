\echo Use "CREATE EXTENSION sequin_fdw" to load this file. \quit

-- Functions, operators, types and relations have their schema throughout, so that nothing is found that others have made in
-- this database. Words without one are SQL's own, such as integer and coalesce.

-- This fails if the schema exists. Another role may have made it, and could then put its own functions beside ours.
CREATE SCHEMA sequin;
GRANT USAGE ON SCHEMA sequin TO PUBLIC;

CREATE FUNCTION sequin.sequin_fdw_handler() RETURNS pg_catalog.fdw_handler
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_fdw_handler_wrapper';

CREATE FUNCTION sequin.sequin_fdw_validator(options pg_catalog.text[], catalog pg_catalog.oid) RETURNS pg_catalog.void
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_fdw_validator_wrapper';

CREATE FOREIGN DATA WRAPPER sequin_fdw
  HANDLER sequin.sequin_fdw_handler VALIDATOR sequin.sequin_fdw_validator;

CREATE FUNCTION sequin.session_stats(
  OUT server pg_catalog.oid,
  OUT requests bigint,
  OUT retries bigint,
  OUT errors bigint,
  OUT throttled bigint,
  OUT rows bigint,
  OUT bytes bigint,
  OUT quota_used bigint,
  OUT quota_left bigint
) RETURNS SETOF pg_catalog.record
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_session_stats_wrapper';

CREATE VIEW sequin.stats AS
  SELECT s.srvname AS server, t.requests, t.retries, t.errors, t.throttled, t.rows, t.bytes, t.quota_used, t.quota_left
  FROM sequin.session_stats() t JOIN pg_catalog.pg_foreign_server s ON s.oid OPERATOR(pg_catalog.=) t.server;

COMMENT ON VIEW sequin.stats IS
  'What this session has asked of each server. The quota is what the API last said of its own.';

CREATE FUNCTION sequin.unconfirmed(
  OUT happened pg_catalog.timestamptz,
  OUT server pg_catalog.text,
  OUT object pg_catalog.text,
  OUT operation pg_catalog.text,
  OUT outcome pg_catalog.text,
  OUT id pg_catalog.text,
  OUT sent pg_catalog.jsonb
) RETURNS SETOF pg_catalog.record
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_unconfirmed_wrapper';

COMMENT ON FUNCTION sequin.unconfirmed() IS
  'Writes of this session that outlived a rollback (outcome written), or of which nobody knows whether the API did them (unknown).';

CREATE FUNCTION sequin.upsert(target pg_catalog.regclass, key pg_catalog.name, records pg_catalog.jsonb)
  RETURNS TABLE (ordinal integer, id pg_catalog.text, created boolean)
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_upsert_wrapper';

COMMENT ON FUNCTION sequin.upsert(pg_catalog.regclass, pg_catalog.name, pg_catalog.jsonb) IS
  'Inserts records, or updates those with the same value in the column key. records: a JSON array of objects whose members are columns.';

CREATE FUNCTION sequin.call(
  server pg_catalog.name,
  method pg_catalog.text,
  path pg_catalog.text,
  body pg_catalog.jsonb DEFAULT NULL
)
  RETURNS TABLE (status integer, headers pg_catalog.jsonb, body pg_catalog.jsonb)
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_call_wrapper';

COMMENT ON FUNCTION sequin.call(pg_catalog.name, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
  'Sends one request to the server''s own host, with its credentials; a refusal is an answer, too.';

GRANT SELECT ON sequin.stats TO PUBLIC;

-- Synced tables. How each is followed belongs to the database, and so to its dumps, which whoever owns the database makes.
-- Nobody but the extension writes it.

CREATE TABLE sequin.sync (
  target pg_catalog.regclass PRIMARY KEY,
  source pg_catalog.regclass NOT NULL,
  every interval NOT NULL,
  options pg_catalog.jsonb NOT NULL,
  -- Where the records are: the API's address, and the object.
  origin pg_catalog.jsonb NOT NULL,
  -- How the connector asks for changes; NULL if all is to be read and compared.
  feed pg_catalog.jsonb,
  -- Up to where changes have been kept.
  since pg_catalog.jsonb,
  -- Whether all has been here once.
  filled boolean NOT NULL DEFAULT false,
  -- A sweep that is under way: when it began, and up to where it is kept.
  sweep_began pg_catalog.timestamptz,
  sweep_position pg_catalog.jsonb,
  sweep_read bigint NOT NULL DEFAULT 0,
  swept_at pg_catalog.timestamptz,
  -- What all rows have been compared in: a column's places in the foreign table and in the target, its field, type, name.
  columns pg_catalog.jsonb,
  -- Which fields the object had when it was begun with.
  fields pg_catalog.jsonb,
  -- Keys of records that the table refuses.
  refused pg_catalog.jsonb,
  -- About how many records there are.
  expected bigint,
  -- When the table was last as the API had it, and when something was last changed in it.
  current_at pg_catalog.timestamptz,
  changed_at pg_catalog.timestamptz,
  requests bigint NOT NULL DEFAULT 0,
  -- What is left of the allowance of requests, and when that was.
  tokens double precision,
  tokens_at pg_catalog.timestamptz,
  failures integer NOT NULL DEFAULT 0,
  next_try pg_catalog.timestamptz
);

-- What is to be told of them: of rows and of the API, which is for the roles of each table alone.
CREATE TABLE sequin.sync_told (
  target pg_catalog.regclass PRIMARY KEY,
  error pg_catalog.text,
  note pg_catalog.text,
  -- How the API's object differs from the foreign table.
  schema_note pg_catalog.text
);

-- Records that users deleted: what was read before must not bring them back.
CREATE TABLE sequin.sync_deleted (
  target pg_catalog.regclass NOT NULL,
  key pg_catalog.text NOT NULL,
  at pg_catalog.timestamptz NOT NULL
);

CREATE INDEX ON sequin.sync_deleted (target, at);

SELECT pg_catalog.pg_extension_config_dump('sequin.sync'::pg_catalog.regclass, '');
GRANT SELECT ON sequin.sync TO pg_database_owner;

CREATE FUNCTION sequin.wake_worker() RETURNS pg_catalog.trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_wake_worker';

CREATE TRIGGER wake_worker AFTER INSERT OR UPDATE OF every OR DELETE ON sequin.sync
  FOR EACH STATEMENT EXECUTE FUNCTION sequin.wake_worker();

CREATE FUNCTION sequin.write_through() RETURNS pg_catalog.trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_write_through';

CREATE FUNCTION sequin.merging(target pg_catalog.regclass) RETURNS boolean
  LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'sequin_merging_wrapper';

COMMENT ON FUNCTION sequin.merging(pg_catalog.regclass) IS
  'Whether the running statement writes to a synced table what the API has already: for WHEN clauses of triggers.';

CREATE FUNCTION sequin.start_sync(
  source pg_catalog.regclass,
  target pg_catalog.text,
  every interval DEFAULT '30 seconds',
  options pg_catalog.jsonb DEFAULT '{}'
) RETURNS pg_catalog.regclass
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_start_sync_wrapper';

COMMENT ON FUNCTION sequin.start_sync(pg_catalog.regclass, pg_catalog.text, interval, pg_catalog.jsonb) IS
  'Makes a local table that is kept equal to a foreign table, and whose writes go to the API first.';

CREATE FUNCTION sequin.refresh(target pg_catalog.regclass) RETURNS bigint
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_refresh_wrapper';

COMMENT ON FUNCTION sequin.refresh(pg_catalog.regclass) IS 'Brings a synced table up to date now; returns the number of rows changed.';

CREATE FUNCTION sequin.stop_sync(target pg_catalog.regclass) RETURNS pg_catalog.void
  LANGUAGE c AS 'MODULE_PATHNAME', 'sequin_stop_sync_wrapper';

COMMENT ON FUNCTION sequin.stop_sync(pg_catalog.regclass) IS 'Ends the syncing of a table, and keeps it as an ordinary one.';

CREATE FUNCTION sequin.has_worker() RETURNS boolean
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'sequin_has_worker_wrapper';

COMMENT ON FUNCTION sequin.has_worker() IS 'Whether a worker keeps the synced tables of this database.';

-- Functions of whoever asks see no rows but their own.
CREATE VIEW sequin.sync_status WITH (security_barrier) AS
  SELECT s.target, s.source,
    CASE WHEN t.error IS NOT NULL THEN 'failing' WHEN s.filled THEN 'current' ELSE 'filling' END AS state,
    CASE WHEN NOT s.filled THEN s.sweep_read
      WHEN pg_catalog.pg_stat_get_live_tuples(s.target) OPERATOR(pg_catalog.>) 0
        THEN pg_catalog.pg_stat_get_live_tuples(s.target)
      WHEN c.reltuples::bigint OPERATOR(pg_catalog.>) 0 THEN c.reltuples::bigint
      ELSE s.sweep_read END AS rows,
    CASE WHEN s.filled THEN 100
      WHEN s.expected IS NOT NULL THEN least(99,
        (100 OPERATOR(pg_catalog.*) s.sweep_read) OPERATOR(pg_catalog./) greatest(s.expected, s.sweep_read, 1))::integer
      END AS percent,
    s.every, s.changed_at AS last_change, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) s.current_at AS lag, s.requests,
    t.error AS last_error,
    (SELECT pg_catalog.string_agg(n.note, '; ') FROM (VALUES
      (t.note),
      (t.schema_note),
      (CASE WHEN NOT sequin.has_worker()
        THEN 'no worker runs: see shared_preload_libraries and max_worker_processes' END),
      ('not synced any more: ' OPERATOR(pg_catalog.||) (
        SELECT pg_catalog.string_agg(e OPERATOR(pg_catalog.->>) 4, ', ')
        FROM pg_catalog.jsonb_array_elements(s.columns) e
        WHERE NOT EXISTS (
          SELECT FROM pg_catalog.pg_attribute l
          JOIN pg_catalog.pg_attribute f ON f.attname OPERATOR(pg_catalog.=) l.attname
          WHERE l.attrelid OPERATOR(pg_catalog.=) s.target AND f.attrelid OPERATOR(pg_catalog.=) s.source
            AND l.attname::pg_catalog.text OPERATOR(pg_catalog.=) (e OPERATOR(pg_catalog.->>) 4)
            AND NOT l.attisdropped AND NOT f.attisdropped))),
      (CASE WHEN (
        SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger g
        WHERE g.tgrelid OPERATOR(pg_catalog.=) s.target
          AND g.tgfoid OPERATOR(pg_catalog.=) 'sequin.write_through'::pg_catalog.regproc
          AND g.tgenabled OPERATOR(pg_catalog.=) ANY ('{O,A}'::pg_catalog."char"[])) OPERATOR(pg_catalog.<) 6
      THEN 'triggers of sequin_fdw are dropped or disabled, so that not all that is written here is sent' END)
    ) n (note)) AS note,
    s.next_try
  FROM sequin.sync s
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) s.target
  LEFT JOIN sequin.sync_told t ON t.target OPERATOR(pg_catalog.=) s.target
  WHERE pg_catalog.pg_has_role(c.relowner, 'MEMBER');

COMMENT ON VIEW sequin.sync_status IS 'The synced tables of the roles that one is a member of.';

GRANT SELECT ON sequin.sync_status TO PUBLIC;

-- Postgres calls these by itself, or we do. A trigger is made with them by start_sync, which sees to it that it stands on a
-- synced table.
REVOKE EXECUTE ON FUNCTION
  sequin.sequin_fdw_handler(),
  sequin.sequin_fdw_validator(pg_catalog.text[], pg_catalog.oid),
  sequin.wake_worker(),
  sequin.write_through()
FROM PUBLIC;
