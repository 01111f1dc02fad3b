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
