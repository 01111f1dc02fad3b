// What a low-code tool does with its "PostgreSQL connector": node-postgres over SSL and SCRAM, as a role that is no superuser.

import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { account, connect, sending, settings } from "./connection.js";

const pool = connect();

test("the connection is encrypted, by password, and of no superuser", async () => {
  const { rows } = await pool.query(
    "select ssl, usename, (select rolsuper from pg_roles where rolname = current_user) as super from pg_stat_ssl join pg_stat_activity using (pid) where pid = pg_backend_pid()",
  );
  assert.equal(rows[0].ssl, true);
  assert.equal(rows[0].super, false);
});

test("tables and columns are listed as the tool lists them", async () => {
  const tables = await pool.query(
    "select table_schema, table_name, table_type from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema') and table_schema = $1 order by table_name",
    ["sf"],
  );
  assert.deepEqual(
    tables.rows.map((row) => [row.table_name, row.table_type]),
    [
      ["account", "FOREIGN"],
      ["contact", "FOREIGN"],
    ],
  );
  const columns = await pool.query(
    "select column_name, data_type, is_nullable from information_schema.columns where table_schema = $1 and table_name = $2 order by ordinal_position",
    ["sf", "contact"],
  );
  const types = Object.fromEntries(columns.rows.map((row) => [row.column_name, row.data_type]));
  assert.equal(types.id, "text");
  assert.equal(types.account_id, "text");
  assert.equal(types.birthdate, "date");
  assert.equal(types.created_date, "timestamp with time zone");
  assert.equal(types.score__c, "numeric");
  assert.equal(types.do_not_call, "boolean");
  assert.equal(types.languages__c, "ARRAY");
});

test("the introspection of an ORM works", async () => {
  const { rows } = await pool.query(
    "select c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid where n.nspname = 'sf' and a.attnum > 0 and not a.attisdropped",
  );
  assert.ok(rows.length > 40);
  assert.ok(rows.every((row) => row.relkind === "f"));
});

test("parameters come as text without types", async () => {
  const { rows } = await pool.query("select * from sf.contact where account_id = $1 limit 100", [account]);
  assert.equal(rows.length, 100);
  assert.ok(rows.every((row) => row.account_id === account));
  assert.ok(rows.every((row) => row.created_date instanceof Date));
  assert.ok(rows.every((row) => typeof row.do_not_call === "boolean"));
  assert.ok(rows.some((row) => Array.isArray(row.languages__c)));
  assert.ok(rows.every((row) => row.score__c === null || typeof row.score__c === "string"));
});

test("arrays, numbers, dates and a limit are parameters too", async () => {
  const ids = (await pool.query("select id from sf.contact where account_id = $1 limit 3", [account])).rows.map((row) => row.id);
  const some = await pool.query("select id from sf.contact where id = any($1) order by id", [ids]);
  assert.deepEqual(some.rows.map((row) => row.id), [...ids].sort());
  const few = await pool.query("select id from sf.contact where account_id = $1 limit $2", [account, 7]);
  assert.equal(few.rows.length, 7);
  const recent = await pool.query("select count(*) as n from sf.contact where created_date > $1", [new Date("1990-01-01")]);
  assert.ok(Number(recent.rows[0].n) > 100);
  const none = await pool.query("select id from sf.contact where account_id = $1", [null]);
  assert.equal(none.rows.length, 0);
});

test("a named statement gives the same rows each time", async () => {
  const client = await pool.connect();
  try {
    let first;
    for (let turn = 0; turn < 10; turn += 1) {
      const { rows } = await client.query({
        name: "contacts-of-account",
        text: "select id, name from sf.contact where account_id = $1 order by id limit 100",
        values: [account],
      });
      assert.equal(rows.length, 100);
      first ??= rows;
      assert.deepEqual(rows, first);
    }
  } finally {
    client.release();
  }
});

test("a pool asks at once", async () => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, turn) =>
      pool.query("select count(*)::int as n from sf.contact where account_id = $1 and do_not_call = $2", [account, turn % 2 === 0]),
    ),
  );
  const counts = new Set(answers.map((answer) => answer.rows[0].n));
  assert.ok(counts.size <= 2);
});

test("a join and a group work", async () => {
  const joined = await pool.query(
    "select a.name, count(*)::int as contacts from sf.contact c join sf.account a on a.id = c.account_id where a.id = $1 group by a.name",
    [account],
  );
  assert.equal(joined.rows.length, 1);
  assert.ok(joined.rows[0].contacts >= 100);
});

test("an error carries its fields", async () => {
  const client = await pool.connect();
  try {
    await assert.rejects(client.query("select * from wrong.contact where account_id = $1", [account]), (error) => {
      assert.equal(error.code, "28000");
      assert.ok(error.message.length > 10);
      assert.ok(error.hint);
      assert.match(error.where, /remote request: POST http/);
      return true;
    });
    // The connection is as good as before.
    const { rows } = await client.query("select count(*)::int as n from sf.contact where account_id = $1", [account]);
    assert.ok(rows[0].n >= 100);
  } finally {
    client.release();
  }
});

test("statement_timeout of the client ends a query", async () => {
  const client = new pg.Client({ ...settings, statement_timeout: 1 });
  await client.connect();
  await assert.rejects(client.query("select count(*) from sf.contact"), (error) => error.code === "57014");
  await client.end();
});

test("a form inserts, and shows the record as it now is", async () => {
  const email = "form.insert@example.com";
  const values = [account, "Ada", "Lovelace", email, "12.500000", ["English", "Deutsch"], true, "1815-12-10", null];
  const { result, writes } = await sending(email, () =>
    pool.query(
      "insert into sf.contact (account_id, first_name, last_name, email, score__c, languages__c, do_not_call, birthdate, title) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning *",
      values,
    ),
  );
  assert.equal(result.rowCount, 1);
  const [row] = result.rows;
  assert.match(row.id, /^003\w{15}$/);
  assert.equal(row.name, "Ada Lovelace");
  assert.equal(row.account_id, account);
  assert.equal(Number(row.score__c), 12.5);
  assert.deepEqual(row.languages__c, ["English", "Deutsch"]);
  assert.equal(row.do_not_call, true);
  assert.ok(row.birthdate instanceof Date && row.birthdate.getFullYear() === 1815);
  assert.ok(Math.abs(Date.now() - row.created_date.getTime()) < 60_000);
  assert.equal(row.is_deleted, false);
  assert.equal(row.title, null);
  assert.deepEqual(writes, [
    {
      method: "POST",
      records: [
        {
          AccountId: account,
          FirstName: "Ada",
          LastName: "Lovelace",
          Email: email,
          Score__c: 12.5,
          Languages__c: "English;Deutsch",
          DoNotCall: true,
          Birthdate: "1815-12-10",
          Title: null,
        },
      ],
    },
  ]);
  const { rows } = await pool.query("select * from sf.contact where id = $1", [row.id]);
  assert.deepEqual(rows, [row]);
});

test("a form updates what was edited", async () => {
  const inserted = await pool.query("insert into sf.contact (last_name, title) values ($1, $2) returning id", ["Form update", "Before"]);
  const { id } = inserted.rows[0];
  const save = (title, department) =>
    sending(id, () => pool.query("update sf.contact set title = $1, department = $2 where id = $3", [title, department, id]));
  const both = await save("After", "Sales");
  assert.equal(both.result.rowCount, 1);
  assert.deepEqual(both.writes, [{ method: "PATCH", records: [{ id, Title: "After", Department: "Sales" }] }]);
  const cleared = await save("After", null);
  assert.equal(cleared.result.rowCount, 1);
  assert.deepEqual(cleared.writes, [{ method: "PATCH", records: [{ id, Department: null }] }]);
  const returned = await pool.query("update sf.contact set title = $1 where id = $2 returning id, title, department, name", ["Again", id]);
  assert.deepEqual(returned.rows, [{ id, title: "Again", department: null, name: "Form update" }]);
  const nowhere = await pool.query("update sf.contact set title = $1 where id = $2", ["x", "003RO0000099999YAA"]);
  assert.equal(nowhere.rowCount, 0);
});

test("a grid edits several rows by a named statement", async () => {
  const names = Array.from({ length: 8 }, (_, at) => `Grid ${at}`);
  const inserted = await pool.query("insert into sf.contact (last_name) select unnest($1::text[]) returning id, last_name", [names]);
  assert.deepEqual(inserted.rows.map((row) => row.last_name), names);
  const client = await pool.connect();
  try {
    for (const { id, last_name } of inserted.rows) {
      const edit = { name: "edit-title", text: "update sf.contact set title = $1 where id = $2", values: [`${last_name}!`, id] };
      const { result, writes } = await sending(id, () => client.query(edit));
      assert.equal(result.rowCount, 1);
      assert.deepEqual(writes, [{ method: "PATCH", records: [{ id, Title: `${last_name}!` }] }]);
    }
  } finally {
    client.release();
  }
});

test("a refused insert says what, where and why", async () => {
  const insert = "insert into sf.contact (last_name, level__c) values ($1, $2) returning *";
  const { writes } = await sending("Refused insert", () =>
    assert.rejects(pool.query(insert, ["Refused insert", "Quaternary"]), (error) => {
      assert.equal(error.code, "23514");
      assert.equal(error.severity, "ERROR");
      assert.match(error.message, /picklist/);
      assert.match(error.message, /Quaternary/);
      assert.match(error.detail, /INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST/);
      assert.ok(error.hint.length > 10);
      assert.equal(error.schema, "sf");
      assert.equal(error.table, "contact");
      assert.equal(error.column, "level__c");
      assert.match(error.where, /remote request: POST http.*\/composite\/sobjects/);
      return true;
    }),
  );
  assert.equal(writes.length, 1);
  const { rows } = await pool.query("select id from sf.contact where last_name = $1", ["Refused insert"]);
  assert.equal(rows.length, 0);
  await assert.rejects(pool.query("insert into sf.contact (first_name) values ($1)", ["Nameless"]), (error) => {
    assert.equal(error.code, "23502");
    assert.equal(error.column, "last_name");
    return true;
  });
});

test("a row is deleted once", async () => {
  const inserted = await pool.query("insert into sf.contact (last_name) values ($1) returning id", ["Form delete"]);
  const { id } = inserted.rows[0];
  const remove = () => sending(id, () => pool.query("delete from sf.contact where id = $1", [id]));
  const first = await remove();
  assert.equal(first.result.rowCount, 1);
  assert.deepEqual(first.writes, [{ method: "DELETE", records: [id] }]);
  assert.equal((await remove()).result.rowCount, 0);
  const { rows } = await pool.query("select id from sf.contact where id = $1", [id]);
  assert.equal(rows.length, 0);
});
