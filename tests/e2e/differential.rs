//! The same rows as a local table holds: columns × operators × values, with pushdown and without.

use crate::support::{Config, Copy, World};

fn world() -> World {
    // Every promise of the API that is uncertain, taken the wrong way.
    let world = World::new(
        Config::new().records("Contact", 300).records("Account", 60).records("Every_Type__c", 250).page_size(200),
    );
    world.import(&mut world.connect(), "every_type__c");
    world
}

/// Values that are awkward for a type, as literals.
fn awkward(ty: &str, column: &str) -> Vec<&'static str> {
    match ty {
        "text" if column.ends_with("id") => vec!["''", "'x'", "'001000000000000AAA'", "'001RO0000035WQg'"],
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
pub struct Draws(pub u64);

impl Draws {
    pub fn below(&mut self, n: usize) -> usize {
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

/// Conditions on a column of several choices.
const CHOICES: [&str; 14] = [
    "'English' = ANY ($)",
    "'english' = ANY ($)",
    "'none' <> ALL ($)",
    "NULL = ANY ($)",
    "$ @> ARRAY['English', 'Deutsch']",
    "$ @> '{}'",
    "$ && '{}'",
    "$ @> ARRAY['English', NULL]",
    "$ && ARRAY['English', NULL, 'a;b', '']",
    "ARRAY['English'] <@ $",
    "$ <@ ARRAY['English', 'Deutsch']",
    "NOT ($ && ARRAY['English'])",
    "$ = ARRAY['English', 'Deutsch']",
    "$ IS DISTINCT FROM ARRAY['English']",
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

pub fn compare_columns(copy: &mut Copy, table: &str) {
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
            conditions.extend(CHOICES.map(|form| form.replace('$', &column)));
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

#[test]
fn contacts_by_every_column_and_operator() {
    let world = world();
    compare_columns(&mut Copy::of(&world, &[("Contact", "contact")]), "contact");
}

#[test]
fn every_type_by_every_column_and_operator() {
    let world = world();
    compare_columns(&mut Copy::of(&world, &[("Every_Type__c", "every_type__c")]), "every_type__c");
}

#[test]
fn conditions_in_every_combination() {
    let world = world();
    let account = world.sandbox.id("Account", 0);
    let leaves = [
        format!("account_id = '{account}'"),
        "account_id IS NULL".to_owned(),
        format!("account_id <> '{account}'"),
        "last_name = 'smith'".to_owned(),
        "last_name <> 'Smith'".to_owned(),
        "first_name IN ('Ada', 'ada', NULL)".to_owned(),
        "first_name IS NULL".to_owned(),
        "upper(last_name) LIKE 'S%'".to_owned(),
        "last_name ILIKE '%S%'".to_owned(),
        "last_name NOT LIKE 'S%'".to_owned(),
        "starts_with(first_name, 'A')".to_owned(),
        "lower(last_name) IN ('smith', 'garcía')".to_owned(),
        "first_name IS DISTINCT FROM 'Ada'".to_owned(),
        format!("account_id IS NOT DISTINCT FROM '{account}'"),
        "score__c IS DISTINCT FROM 0".to_owned(),
        "score__c > 0".to_owned(),
        "score__c <= 100".to_owned(),
        "score__c IS NULL".to_owned(),
        "do_not_call".to_owned(),
        "NOT has_opted_out_of_email".to_owned(),
        "do_not_call IS NOT TRUE".to_owned(),
        "has_opted_out_of_email IS NULL".to_owned(),
        "birthdate < '1990-01-01'".to_owned(),
        "created_date >= '2020-06-01 00:00+02'".to_owned(),
        "description IS NULL".to_owned(),
        "languages__c @> ARRAY['English']".to_owned(),
        "'Deutsch' = ANY (languages__c)".to_owned(),
        "languages__c IS NULL".to_owned(),
        "NULL".to_owned(),
        "1 = 1".to_owned(),
        "account_id = 'nonsense'".to_owned(),
    ];
    let mut copy = Copy::of(&world, &[("Contact", "contact")]);
    let mut draws = Draws(7);
    for _ in 0..400 {
        let condition = combine(&mut draws, &leaves, 3);
        copy.same(&format!("SELECT id FROM salesforce.contact WHERE {condition}"));
    }
    for _ in 0..60 {
        let condition = combine(&mut draws, &leaves, 2);
        copy.same(&format!(
            "SELECT count(*), count(score__c), min(birthdate), trim_scale(sum(score__c)) FROM salesforce.contact WHERE {condition}"
        ));
        copy.same(&format!("SELECT id, last_name FROM salesforce.contact WHERE {condition} ORDER BY last_name COLLATE \"C\", id LIMIT 7"));
        copy.same(&format!(
            "SELECT count(*) FROM (SELECT id FROM salesforce.contact WHERE {condition} LIMIT 11) AS part"
        ));
    }
}

pub fn combine(draws: &mut Draws, leaves: &[String], depth: usize) -> String {
    match draws.below(if depth == 0 { 1 } else { 5 }) {
        0 | 1 => leaves[draws.below(leaves.len())].clone(),
        2 => format!("NOT ({})", combine(draws, leaves, depth - 1)),
        kind => {
            let word = if kind == 3 { " AND " } else { " OR " };
            let parts: Vec<_> = (0..draws.below(2) + 2).map(|_| combine(draws, leaves, depth - 1)).collect();
            format!("({})", parts.join(word))
        }
    }
}

#[test]
fn the_uncertain_promises_of_the_api_change_no_row() {
    let world = world();
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
