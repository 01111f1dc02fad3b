// A database browser in the manner of Adminer: it knows no key of the table, so it finds a row again by comparing every column with
// the text that it showed, and it sends one statement of literals.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { account, connect, sending } from "./connection.js";

// Everything is text, as Postgres prints it; the schema is chosen by the search path.
const pool = connect({ options: "-c search_path=sf", types: { getTypeParser: () => String } });
const literal = (text) => `'${text.replaceAll("'", "''")}'`;
const quote = (name) => `"${name}"`;

async function fields() {
  const { rows } = await pool.query(
    `SELECT a.attname AS field, format_type(a.atttypid, a.atttypmod) AS full_type, pg_get_expr(d.adbin, d.adrelid) AS default, a.attnotnull::int, col_description(c.oid, a.attnum) AS comment, a.attidentity AS identity
FROM pg_class c
JOIN pg_namespace n ON c.relnamespace = n.oid
JOIN pg_attribute a ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON c.oid = d.adrelid AND a.attnum = d.adnum
WHERE c.relname = 'contact'
AND n.nspname = current_schema()
AND NOT a.attisdropped
AND a.attnum > 0
ORDER BY a.attnum`,
  );
  return Object.fromEntries(rows.map((row) => [row.field, row.full_type]));
}

// The condition that finds a row again: long texts go by their MD5.
function where(row, types) {
  const conditions = Object.entries(row).map(([name, text]) => {
    if (text === null) {
      return `${quote(name)} IS NULL`;
    }
    if (/^(character|text$)/.test(types[name]) && Buffer.byteLength(text) > 64) {
      return `MD5(${quote(name)}) = ${literal(createHash("md5").update(text).digest("hex"))}`;
    }
    return `${quote(name)} = ${literal(text)}`;
  });
  return conditions.join(" AND ");
}

async function shown(condition) {
  const { rows } = await pool.query(`SELECT * FROM "contact" WHERE ${condition} LIMIT 50`);
  return rows;
}

test("the list of tables and their status", async () => {
  const tables = await pool.query(
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = current_schema()\nUNION ALL\nSELECT matviewname, 'MATERIALIZED VIEW'\nFROM pg_matviews\nWHERE schemaname = current_schema()\nORDER BY 1",
  );
  assert.deepEqual(
    tables.rows.map((row) => [row.table_name, row.table_type]),
    [
      ["account", "FOREIGN"],
      ["contact", "FOREIGN"],
    ],
  );
  const status = await pool.query(
    `SELECT c.relname AS "Name", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'm' THEN 'materialized view' ELSE 'view' END AS "Engine", pg_table_size(c.oid) AS "Data_length", pg_indexes_size(c.oid) AS "Index_length", obj_description(c.oid, 'pg_class') AS "Comment", '' AS "Oid", c.reltuples AS "Rows", n.nspname
FROM pg_class c
JOIN pg_namespace n ON(n.nspname = current_schema() AND n.oid = c.relnamespace)
WHERE relkind IN ('r', 'm', 'v', 'f', 'p')
ORDER BY relname`,
  );
  assert.deepEqual(status.rows.map((row) => row.Name), ["account", "contact"]);
  const foreign = await pool.query(
    "SELECT foreign_table_name, foreign_server_name FROM information_schema.foreign_tables WHERE foreign_table_schema = current_schema() ORDER BY 1",
  );
  assert.deepEqual(foreign.rows.map((row) => row.foreign_table_name), ["account", "contact"]);
});

test("the structure of a table: fields, indexes, foreign keys, triggers, what may be written", async () => {
  const types = await fields();
  assert.equal(types.id, "text");
  assert.equal(types.created_date, "timestamp with time zone");
  const of = "(SELECT oid FROM pg_class WHERE relname = 'contact' AND relnamespace = current_schema()::regnamespace)";
  for (const text of [
    `SELECT relname, indisunique::int, indisprimary::int, indkey, indoption, (indpred IS NOT NULL)::int AS indispartial FROM pg_index i, pg_class ci WHERE i.indrelid = ${of} AND ci.oid = i.indexrelid ORDER BY indisprimary DESC, indisunique DESC`,
    `SELECT conname, condeferrable::int AS deferrable, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = ${of} AND contype = 'f'::char ORDER BY conkey, conname`,
    "SELECT * FROM information_schema.triggers WHERE trigger_schema = current_schema() AND event_object_table = 'contact'",
  ]) {
    assert.deepEqual((await pool.query(text)).rows, [], text);
  }
  const { rows } = await pool.query(
    "SELECT is_insertable_into FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'contact'",
  );
  assert.equal(rows[0].is_insertable_into, "YES");
});

test("a row is found again by all that it showed, and edited", async () => {
  const types = await fields();
  const rows = await shown(`"account_id" = ${literal(account)}`);
  assert.equal(rows.length, 50);
  // Names, dates, numbers and addresses are awkward here and there.
  for (const row of rows.slice(40)) {
    const found = await shown(where(row, types));
    assert.deepEqual(found, [row]);
    const edit = () => pool.query(`UPDATE "contact" SET\n"last_name" = 'Adminer''s \\ own'\nWHERE ${where(row, types)}`);
    const { result, writes } = await sending(row.id, edit);
    assert.equal(result.rowCount, 1, where(row, types));
    assert.deepEqual(writes, [{ method: "PATCH", records: [{ id: row.id, LastName: "Adminer's \\ own" }] }]);
    // The row is another one now.
    const again = await sending(row.id, edit);
    assert.equal(again.result.rowCount, 0);
    assert.deepEqual(again.writes, []);
  }
});

test("a row is found again by all that it showed, and deleted", async () => {
  const types = await fields();
  const marker = "adminer.delete@example.com";
  const description = "It's a long text, longer than sixty-four characters, with \\ and\na second line and ünïcödé.";
  await pool.query(
    `INSERT INTO "contact" ("account_id", "last_name", "email", "description", "do_not_call", "languages__c") VALUES (${literal(account)}, 'O''Brien', ${literal(marker)}, ${literal(description)}, '1', '{English,Deutsch}')`,
  );
  const [row, ...more] = await shown(`"email" = ${literal(marker)}`);
  assert.deepEqual(more, []);
  assert.equal(row.description, description);
  const { result, writes } = await sending(row.id, () => pool.query(`DELETE FROM "contact"\nWHERE ${where(row, types)}`));
  assert.equal(result.rowCount, 1);
  assert.deepEqual(writes, [{ method: "DELETE", records: [row.id] }]);
  assert.deepEqual(await shown(`"email" = ${literal(marker)}`), []);
});
