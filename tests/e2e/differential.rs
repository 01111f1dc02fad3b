//! The same rows as a local table holds: columns × operators × values, with pushdown and without, whichever side the API takes
//! where its documentation leaves a choice.

use crate::support::{AIRTABLE, Api, Config, Copy, SALESFORCE, World, on_each};

struct Subject {
    api: &'static Api,
    config: fn(Config) -> Config,
    /// The API's names beside the local ones. Conditions are about the first.
    tables: &'static [(&'static str, &'static str)],
    /// Two choices of the first table's list of choices.
    choices: [&'static str; 2],
    conditions: &'static [&'static str],
    /// Queries, with `?` for a condition.
    queries: &'static [&'static str],
}

/// A subject, and whether its API takes the other side wherever it has a choice.
type Case = (&'static Subject, bool);

on_each! {
    of_salesforce: (&OF_SALESFORCE, false), of_salesforce_contrary: (&OF_SALESFORCE, true),
    of_airtable: (&OF_AIRTABLE, false), of_airtable_contrary: (&OF_AIRTABLE, true);
    every_column_by_every_operator,
    conditions_in_every_combination,
}

static OF_SALESFORCE: Subject = Subject {
    api: &SALESFORCE,
    config: |config| config.records("Contact", 300).records("Account", 60).records("Every_Type__c", 250).page_size(200),
    tables: &[("Contact", "contact"), ("Every_Type__c", "every_type__c")],
    choices: ["English", "Deutsch"],
    conditions: &[
        "account_id = '001RO0000035WQgAAM'",
        "account_id IS NULL",
        "account_id <> '001RO0000035WQgAAM'",
        "last_name = 'smith'",
        "last_name <> 'Smith'",
        "first_name IN ('Ada', 'ada', NULL)",
        "first_name IS NULL",
        "upper(last_name) LIKE 'S%'",
        "last_name ILIKE '%S%'",
        "last_name NOT LIKE 'S%'",
        "starts_with(first_name, 'A')",
        "lower(last_name) IN ('smith', 'garcía')",
        "first_name IS DISTINCT FROM 'Ada'",
        "account_id IS NOT DISTINCT FROM '001RO0000035WQgAAM'",
        "score__c IS DISTINCT FROM 0",
        "score__c > 0",
        "score__c <= 100",
        "score__c IS NULL",
        "do_not_call",
        "NOT has_opted_out_of_email",
        "do_not_call IS NOT TRUE",
        "has_opted_out_of_email IS NULL",
        "birthdate < '1990-01-01'",
        "created_date >= '2020-06-01 00:00+02'",
        "description IS NULL",
        "languages__c @> ARRAY['English']",
        "'Deutsch' = ANY (languages__c)",
        "languages__c IS NULL",
        "NULL",
        "1 = 1",
        "account_id = 'nonsense'",
    ],
    queries: &[
        "SELECT count(*), count(score__c), min(birthdate), trim_scale(sum(score__c)) FROM salesforce.contact WHERE ?",
        "SELECT id, last_name FROM salesforce.contact WHERE ? ORDER BY last_name COLLATE \"C\", id LIMIT 7",
        "SELECT count(*) FROM (SELECT id FROM salesforce.contact WHERE ? LIMIT 11) AS part",
    ],
};

static OF_AIRTABLE: Subject = Subject {
    api: &AIRTABLE,
    config: |config| config.records("People", 150),
    tables: &[("People", "people"), ("Projects", "projects")],
    choices: ["SQL", "a, b"],
    conditions: &[
        "name = 'Ada Lovelace'",
        "name <> 'ada Smith'",
        "name IN ('Li 李', 'Bob SMITH', NULL)",
        "name IS NULL",
        "name LIKE 'A%o%'",
        "name ILIKE '%SMITH'",
        "lower(name) = 'conan smith'",
        "age > 18",
        "age <= 0",
        "age <> 0",
        "age = -1",
        "age IS NULL",
        "age BETWEEN 10 AND 50",
        "score < 0.1",
        "salary IS DISTINCT FROM 0",
        "active",
        "NOT active",
        "active IS NOT TRUE",
        "is_adult",
        "NOT is_adult",
        "status = 'Done'",
        "status IN ('Done', '10%')",
        "skills @> ARRAY['SQL']",
        "'a, b' = ANY (skills)",
        "skills IS NULL",
        "born < '1970-01-01'",
        "born IS NULL",
        "born = '2024-05-31'",
        "last_seen >= '2020-06-01 00:00+02'",
        "last_seen IS NULL",
        "salary_per_score > 100",
        "salary_per_score < 100",
        "error_prone IS NULL",
        "error_prone LIKE '+%'",
        "company IS NULL",
        "number > 50",
        "rating = 5",
        "_created_time > '2022-01-03 01:00+00'",
        "NULL",
        "1 = 1",
        "_id = 'nonsense'",
    ],
    queries: &[
        "SELECT count(*), count(score), min(born), sum(salary) FROM ops.people WHERE ?",
        "SELECT _id, age FROM ops.people WHERE ? ORDER BY age, number LIMIT 7",
        "SELECT _id FROM ops.people WHERE ? ORDER BY number DESC LIMIT 7",
        "SELECT count(*) FROM (SELECT _id FROM ops.people WHERE ? LIMIT 11) AS part",
    ],
};

fn world((subject, contrary): Case) -> World {
    let config = (subject.config)(Config::new());
    let world = World::of(subject.api, if contrary { (subject.api.contrary)(config) } else { config });
    let mut session = world.connect();
    for (_, table) in subject.tables {
        if session.value(&format!("SELECT to_regclass('{}.{table}') IS NULL", subject.api.schema)) == "t" {
            world.import(&mut session, table);
        }
    }
    world
}

fn copy((subject, contrary): Case, world: &World) -> Copy<'_> {
    let mut copy = Copy::of(world, subject.tables);
    if contrary {
        // What is not asked cannot be answered otherwise.
        copy.pushdown = &["on"];
    }
    copy
}

/// Values that are awkward for a type, as literals.
fn awkward(ty: &str, column: &str) -> Vec<&'static str> {
    match ty {
        "text" if column.ends_with("id") => {
            vec!["''", "'x'", "'001000000000000AAA'", "'001RO0000035WQg'", "'rec00000000000000'"]
        }
        "text" => vec![
            "''",
            "' '",
            "'smith'",
            "'SMITH'",
            "'Smith'",
            "'Smith '",
            "'O''Brien'",
            "'Back\\slash'",
            "E'line one\\nline two'",
            "'100%'",
            "'%_%'",
            "'🙂 Smiley'",
            "'ÉCLAIR'",
            "'éclair'",
            "'Straße'",
            "'STRASSE'",
            "'null'",
            "'NULL'",
            "'true'",
            "'007'",
            "E'tab\\there'",
            "repeat('x', 300)",
            "'\"quoted\"'",
            "E'\\x7f'",
            "'Web'",
            "'web'",
            "'A'",
            "'a'",
            "'C:\\new\\table'",
            "'S%'",
            "'_a%'",
            "'%\\%%'",
            "'%i%'",
            "'%İ%'",
        ],
        "numeric" => vec![
            "0",
            "-0.0",
            "1",
            "1.5",
            "0.000001",
            "-1e-7",
            "1e10",
            "1e17",
            "1e25",
            "123456789012345678.123456789",
            "'NaN'::numeric",
            "'Infinity'::numeric",
            "'-Infinity'::numeric",
            "2::int",
            "3::bigint",
            "0.5::float8",
        ],
        "integer" | "bigint" => vec![
            "0",
            "-1",
            "2147483647",
            "2147483648",
            "-9223372036854775808",
            "9223372036854775807",
            "1.5",
            "0.5::float8",
        ],
        "boolean" => vec!["true", "false"],
        "date" => vec![
            "'1700-01-01'::date",
            "'1699-12-31'::date",
            "'4000-12-31'::date",
            "'4001-01-01'::date",
            "'infinity'::date",
            "'-infinity'::date",
            "'0044-03-15 BC'::date",
            "'2000-02-29'::date",
            "'9999-12-31'::date",
            "'2000-02-29 12:00'::timestamp",
            "'2000-02-29 00:00+00'::timestamptz",
        ],
        "timestamp with time zone" => vec![
            "'1700-01-01 00:00+00'::timestamptz",
            "'4000-12-31 23:59:59.999+00'::timestamptz",
            "'4000-12-31 23:59:59.999999+00'::timestamptz",
            "'infinity'::timestamptz",
            "'-infinity'::timestamptz",
            "'0001-01-01 00:00+00 BC'::timestamptz",
            "'2020-05-31 12:34:56.789123+00'::timestamptz",
            "'2020-05-31'::date",
            "'2020-05-31 12:00'::timestamp",
            "'294000-01-01 00:00+00'::timestamptz",
            "'2020-05-31 12:34:56+05:30'::timestamptz",
        ],
        "time without time zone" => {
            vec!["'00:00'::time", "'24:00'::time", "'23:59:59.999'::time", "'12:00:00.000001'::time"]
        }
        _ => Vec::new(),
    }
}

/// Draws that are the same in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Conditions on a text column, `$` for it and `?` for a value. LIKE must not end with an escape character.
const TEXTS: [&str; 16] = [
    "$ LIKE ?",
    "$ NOT LIKE ?",
    "$ ILIKE ?",
    "$ NOT ILIKE ?",
    "lower($) = lower(?)",
    "upper($) = upper(?)",
    "lower($) <> lower(?)",
    "starts_with($, left(?, 3))",
    "$ ^@ left(?, 2)",
    "NOT starts_with($, left(?, 1))",
    "upper($::text) LIKE upper('%' || ? || '%')",
    "lower($) LIKE lower(left(?, 2)) || '%'",
    "$ ILIKE '%' || right(?, 3)",
    "lower($) IN (lower(?), 'smith')",
    "$ LIKE ANY (ARRAY[?, left(?, 1) || '%', NULL])",
    "$ NOT LIKE ALL (ARRAY[?])",
];

/// Conditions on a column of several choices, `'A'` and `'B'` for two of them.
const CHOICES: [&str; 14] = [
    "'A' = ANY ($)",
    "lower('A') = ANY ($)",
    "'none' <> ALL ($)",
    "NULL = ANY ($)",
    "$ @> ARRAY['A', 'B']",
    "$ @> '{}'",
    "$ && '{}'",
    "$ @> ARRAY['A', NULL]",
    "$ && ARRAY['A', NULL, 'a;b', '']",
    "ARRAY['A'] <@ $",
    "$ <@ ARRAY['A', 'B']",
    "NOT ($ && ARRAY['A'])",
    "$ = ARRAY['A', 'B']",
    "$ IS DISTINCT FROM ARRAY['A']",
];

/// Literals to compare a column with: some that it holds, the same a little off, and awkward ones.
fn values(copy: &mut Copy, table: &str, column: &str, ty: &str) -> Vec<String> {
    let mut values = copy.session.column(&format!(
        "SELECT DISTINCT quote_literal(\"{column}\"::text) || '::{ty}' FROM local.{table} WHERE \"{column}\" IS NOT NULL ORDER BY 1 LIMIT 3"
    ));
    let held = values.first().cloned();
    values.extend(awkward(ty, column).into_iter().map(str::to_owned));
    if let Some(held) = held {
        match ty {
            "text" => values.extend([
                format!("upper({held})"),
                format!("lower({held})"),
                format!("left({held}, 15)"),
                format!("{held} || ' '"),
            ]),
            "timestamp with time zone" => {
                values.extend([
                    format!("{held} + interval '1 microsecond'"),
                    format!("{held} - interval '1 microsecond'"),
                    format!("{held} + interval '500 microseconds'"),
                ]);
            }
            "numeric" => values.push(format!("{held} + 0.0000000001")),
            _ => {}
        }
    }
    values
}

fn compare_columns(copy: &mut Copy, table: &str, [one, other]: [&str; 2]) {
    let mut draws = Draws(42);
    for (column, ty) in copy.columns(table) {
        let values = values(copy, table, &column, &ty);
        let column = format!("\"{column}\"");
        let mut conditions = vec![format!("{column} IS NULL"), format!("{column} IS NOT NULL")];
        for (number, value) in values.iter().enumerate() {
            conditions.push(format!("{column} = {value}"));
            let operator = ["<>", "<", "<=", ">", ">="][number % 5];
            conditions.push(format!("{column} {operator} {value}"));
            let operator = ["<>", "<", "<=", ">", ">="][draws.below(5)];
            conditions.push(format!("NOT ({column} {operator} {value})"));
            if ty == "text" {
                for form in [TEXTS[number % TEXTS.len()], TEXTS[draws.below(TEXTS.len())]] {
                    conditions.push(form.replace('$', &column).replace('?', value));
                }
            }
            if draws.below(3) == 0 {
                conditions.push(format!("{column} IS DISTINCT FROM {value}"));
                conditions.push(format!("{column} IS NOT DISTINCT FROM {value}"));
            }
        }
        if ty == "text[]" {
            let choice = |name: &str| format!("'{name}'");
            let form =
                |form: &str| form.replace('$', &column).replace("'A'", &choice(one)).replace("'B'", &choice(other));
            conditions.extend(CHOICES.map(form));
        }
        if values.len() > 2 && ty != "text[]" {
            let mut some = |count: usize| {
                (0..count).map(|_| values[draws.below(values.len())].clone()).collect::<Vec<_>>().join(", ")
            };
            conditions.push(format!("{column} IN ({})", some(3)));
            conditions.push(format!("{column} IN ({}, NULL)", some(2)));
            conditions.push(format!("{column} NOT IN ({})", some(3)));
            conditions.push(format!("{column} NOT IN ({}, NULL)", some(2)));
            conditions.push(format!("{column} = ANY (ARRAY[{}, NULL]::{ty}[])", values[0]));
            conditions.push(format!("{column} = ANY ('{{}}'::{ty}[])"));
            conditions.push(format!("{column} <> ALL (ARRAY[{}]::{ty}[])", values[0]));
            conditions.push(format!("{column} <> ALL ('{{}}'::{ty}[])"));
            conditions.push(format!("{column} = ANY (NULL::{ty}[])"));
            conditions.push(format!("{column} BETWEEN {} AND {}", values[0], values[1]));
            conditions.push(format!("{column} IS DISTINCT FROM {}", values[0]));
        }
        conditions.push(format!("{column} = NULL"));
        conditions.push(format!("{column} IS DISTINCT FROM (SELECT NULL::{ty})"));
        conditions.push(format!("{column} IS NOT DISTINCT FROM (SELECT NULL::{ty})"));
        for condition in conditions {
            copy.same(&format!("SELECT {} FROM {}.{table} WHERE {condition}", copy.key, copy.remote));
        }
    }
}

fn every_column_by_every_operator(case: Case) {
    let (world, subject) = (world(case), case.0);
    let mut copy = copy(case, &world);
    for (_, table) in subject.tables {
        compare_columns(&mut copy, table, subject.choices);
    }
}

fn conditions_in_every_combination(case: Case) {
    let (world, subject) = (world(case), case.0);
    let mut copy = copy(case, &world);
    let table = format!("{}.{}", subject.api.schema, subject.tables[0].1);
    let mut draws = Draws(7);
    for _ in 0..250 {
        let condition = combine(&mut draws, subject.conditions, 3);
        copy.same(&format!("SELECT {} FROM {table} WHERE {condition}", subject.api.key));
    }
    for _ in 0..40 {
        let condition = combine(&mut draws, subject.conditions, 2);
        for query in subject.queries {
            copy.same(&query.replace('?', &condition));
        }
    }
}

fn combine(draws: &mut Draws, leaves: &[&str], depth: usize) -> String {
    match draws.below(if depth == 0 { 1 } else { 5 }) {
        0 | 1 => leaves[draws.below(leaves.len())].to_owned(),
        2 => format!("NOT ({})", combine(draws, leaves, depth - 1)),
        kind => {
            let word = if kind == 3 { " AND " } else { " OR " };
            let parts: Vec<_> = (0..draws.below(2) + 2).map(|_| combine(draws, leaves, depth - 1)).collect();
            format!("({})", parts.join(word))
        }
    }
}

#[test]
fn a_salesforce_that_tells_nulls_and_empty_texts_apart_or_not_finds_the_same_rows() {
    let world = world((&OF_SALESFORCE, false));
    let mut copy = Copy::of(&world, &[("Contact", "contact")]);
    for certain in [true, false] {
        world.sandbox.set_switches(|switches| {
            switches.nulls_match_not_equal = certain;
            switches.empty_text_matches_null = certain;
            switches.exponent_numbers = certain;
            switches.unordered_by_id = certain;
        });
        for condition in [
            "account_id <> '001RO0000035WQgAAM'",
            "account_id NOT IN ('001RO0000035WQgAAM', '001RO0000035WQhAAM')",
            "NOT (score__c = 0)",
            "NOT (score__c > 0 AND account_id IS NULL)",
            "last_name = ''",
            "last_name <> ''",
            "first_name = '' OR first_name IS NULL",
            "title NOT IN ('', 'Acme')",
        ] {
            copy.same(&format!("SELECT id, trim_scale(score__c) FROM salesforce.contact WHERE {condition}"));
        }
    }
}
