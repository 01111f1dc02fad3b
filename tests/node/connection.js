// What the clients of these tests share: how to connect, and what the API was sent.
//
// SEQUIN_NODE_URL is the connection string and SEQUIN_NODE_CA the file of the server's certificate; SEQUIN_ACCOUNT is the id of an
// account with more than a hundred contacts, as `sf.contact` and `sf.account` show them. SEQUIN_SANDBOX is the simulated API's URL:
// it tells what it was asked.

import { readFileSync } from "node:fs";
import { after } from "node:test";
import pg from "pg";

export const account = process.env.SEQUIN_ACCOUNT;

export const settings = {
  connectionString: process.env.SEQUIN_NODE_URL,
  ssl: { ca: readFileSync(process.env.SEQUIN_NODE_CA, "utf8"), rejectUnauthorized: true },
};

// A pool that ends with the tests of the file.
export function connect(more = {}) {
  const pool = new pg.Pool({ ...settings, max: 4, ...more });
  after(() => pool.end());
  return pool;
}

async function requests() {
  const response = await fetch(`${process.env.SEQUIN_SANDBOX}/_control/requests`);
  return response.json();
}

// Runs `work` and returns its result, and what was written meanwhile: `[{ method, records }]` of the requests that mention `text`.
// Other files' tests run at the same time, so the text has to be something that only this test writes.
export async function sending(text, work) {
  const before = (await requests()).at(-1)?.number ?? 0;
  const result = await work();
  const writes = (await requests())
    .filter((request) => request.number > before && request.path.includes("/composite/sobjects"))
    // A POST to an object's collection reads.
    .filter((request) => request.method !== "POST" || !request.path.includes("/composite/sobjects/"))
    .filter((request) => (request.path + request.body).includes(text))
    .map(({ method, path, body }) => ({ method, records: body ? JSON.parse(body).records.map(fields) : ids(path) }));
  return { result, writes };
}

function fields({ attributes, ...record }) {
  return record;
}

function ids(path) {
  return new URL(path, "http://api/").searchParams.get("ids").split(",");
}
