// An ORM in the manner of Django: save() sets every column of the row, changed or not, and looks at how many rows were updated.

import assert from "node:assert/strict";
import { test } from "node:test";
import { account, connect, sending } from "./connection.js";

const pool = connect();
const quote = (name) => `"${name}"`;

// The model: its columns, as the database lists them.
async function columns() {
  const { rows } = await pool.query(
    "SELECT a.attname AS name FROM pg_attribute a WHERE a.attrelid = 'sf.contact'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
  );
  return rows.map((row) => row.name);
}

async function get(id) {
  const list = (await columns()).map((name) => `"contact".${quote(name)}`).join(", ");
  const { rows } = await pool.query(`SELECT ${list} FROM "sf"."contact" WHERE "contact"."id" = $1 LIMIT 21`, [id]);
  assert.equal(rows.length, 1);
  return rows[0];
}

// save() of an object that has a key: UPDATE first, INSERT if that updates nothing.
async function save(object) {
  const names = Object.keys(object).filter((name) => name !== "id");
  const list = names.map((name, at) => `${quote(name)} = $${at + 1}`).join(", ");
  const text = `UPDATE "sf"."contact" SET ${list} WHERE "contact"."id" = $${names.length + 1}`;
  return sending(object.id, () => pool.query(text, [...names.map((name) => object[name]), object.id]));
}

// save() of an object without a key.
async function create(values, marker) {
  const names = (await columns()).filter((name) => name !== "id");
  const places = names.map((_, at) => `$${at + 1}`).join(", ");
  const text = `INSERT INTO "sf"."contact" (${names.map(quote).join(", ")}) VALUES (${places}) RETURNING "contact"."id"`;
  return sending(marker, () => pool.query(text, names.map((name) => values[name] ?? null)));
}

async function some(count, offset) {
  const { rows } = await pool.query("SELECT id FROM sf.contact WHERE account_id = $1 ORDER BY id LIMIT $2 OFFSET $3", [account, count, offset]);
  return rows.map((row) => row.id);
}

test("save() of what was not changed updates one row and sends nothing", async () => {
  for (const id of await some(25, 0)) {
    const { result, writes } = await save(await get(id));
    assert.equal(result.rowCount, 1);
    assert.equal(result.command, "UPDATE");
    assert.deepEqual(writes, []);
  }
});

test("save() of one changed field sends that field alone", async () => {
  const [id] = await some(1, 30);
  for (const [name, value, field, sent] of [
    ["title", "Countess", "Title", "Countess"],
    ["email", null, "Email", null],
    ["score__c", "3.25", "Score__c", 3.25],
    ["do_not_call", undefined, "DoNotCall", undefined],
    ["languages__c", ["Deutsch"], "Languages__c", "Deutsch"],
    ["birthdate", "1999-12-31", "Birthdate", "1999-12-31"],
  ]) {
    const object = await get(id);
    object[name] = value === undefined ? !object[name] : value;
    const expected = sent === undefined ? object[name] : sent;
    const { result, writes } = await save(object);
    assert.equal(result.rowCount, 1, name);
    assert.deepEqual(writes, [{ method: "PATCH", records: [{ id, [field]: expected }] }], name);
    assert.deepEqual((await save(await get(id))).writes, [], name);
  }
});

test("save() that changes a read-only column is refused and sends nothing", async () => {
  const [id] = await some(1, 31);
  const object = await get(id);
  object.created_date = new Date("2001-02-03T04:05:06Z");
  const { writes } = await sending(id, () =>
    assert.rejects(save(object), (error) => {
      assert.equal(error.code, "428C9");
      assert.equal(error.column, "created_date");
      assert.equal(error.table, "contact");
      return true;
    }),
  );
  assert.deepEqual(writes, []);
});

// Every record has an owner; the API takes none for the one who signs in only if it is not told any.
async function owner() {
  const { rows } = await pool.query("SELECT owner_id FROM sf.contact WHERE account_id = $1 LIMIT 1", [account]);
  return rows[0].owner_id;
}

test("save() of an object that is gone updates nothing", async () => {
  const { result } = await create({ last_name: "Gone soon", owner_id: await owner(), has_opted_out_of_email: false, do_not_call: false }, "Gone soon");
  const object = await get(result.rows[0].id);
  await pool.query('DELETE FROM "sf"."contact" WHERE "contact"."id" IN ($1)', [object.id]);
  assert.equal((await save({ ...object, title: "Late" })).result.rowCount, 0);
});

test("save() of a new object sets every column and gets the key", async () => {
  const marker = "django.create@example.com";
  const values = {
    account_id: account,
    last_name: "Django",
    email: marker,
    owner_id: await owner(),
    languages__c: ["English", "日本語"],
    score__c: "0.000001",
    // A form's check boxes are never null, and its empty texts are empty.
    has_opted_out_of_email: false,
    do_not_call: false,
    department: "",
  };
  const { result, writes } = await create(values, marker);
  assert.equal(result.rowCount, 1);
  assert.deepEqual(Object.keys(result.rows[0]), ["id"]);
  assert.equal(writes.length, 1);
  const [{ records }] = writes;
  assert.equal(records.length, 1);
  // What only the API sets is null here, and was left out.
  for (const field of ["Id", "Name", "CreatedDate", "CreatedById", "LastModifiedDate", "SystemModstamp", "IsDeleted", "MailingAddress"]) {
    assert.ok(!(field in records[0]), field);
  }
  assert.equal(records[0].LastName, "Django");
  assert.equal(records[0].FirstName, null);
  const object = await get(result.rows[0].id);
  assert.equal(object.name, "Django");
  assert.equal(object.department, null);
  assert.deepEqual(object.languages__c, ["English", "日本語"]);
  assert.equal(Number(object.score__c), 0.000001);
  assert.ok(object.created_date instanceof Date);
  // And it can be saved again.
  const again = await save(object);
  assert.equal(again.result.rowCount, 1);
  assert.deepEqual(again.writes, []);
});
