//! What goes into formulas, and that no row depends on it, whichever way the API takes what it does not promise.

use sandbox::AirtableSwitches;

use crate::differential::{Draws, combine, compare_columns};
use crate::support::{Config, Copy, World};

/// Every uncertain promise the one way, and the other.
fn contrary(switches: &mut AirtableSwitches) {
    switches.blank_is_zero = false;
    switches.blank_is_not_equal = false;
    switches.equals_ignores_case = true;
    switches.find_minds_case = false;
    switches.search_ignores_case = false;
    switches.utf16_lengths = false;
    switches.parse_date_strings = false;
    switches.blank_date_is_error = true;
    switches.zone_offset_minutes = 330;
    switches.brace_escapes = true;
    switches.sort_blanks_first = false;
    switches.sort_ignores_case = false;
    switches.empty_fields_mean_all = false;
    switches.checkbox_equals_false_invalid = false;
    switches.last_modified_without_field = false;
}

fn people(config: Config) -> World {
    World::airtable(config.records("People", 150).records("Measurements", 400))
}

#[test]
fn people_by_every_column_and_operator() {
    let world = people(Config::new());
    compare_columns(&mut Copy::of(&world, &[("People", "people")]), "people");
}

#[test]
fn people_by_every_column_and_operator_with_contrary_promises() {
    let world = people(Config::new().airtable(contrary));
    compare_columns(&mut Copy::of(&world, &[("People", "people")]), "people");
}

#[test]
fn conditions_in_every_combination() {
    let leaves = [
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
    ]
    .map(str::to_owned);
    for config in [Config::new(), Config::new().airtable(contrary)] {
        let world = people(config);
        let mut copy = Copy::of(&world, &[("People", "people")]);
        let mut draws = Draws(7);
        for _ in 0..200 {
            let condition = combine(&mut draws, &leaves, 3);
            copy.same(&format!("SELECT _id FROM ops.people WHERE {condition}"));
        }
        for _ in 0..40 {
            let condition = combine(&mut draws, &leaves, 2);
            copy.same(&format!(
                "SELECT count(*), count(score), min(born), sum(salary) FROM ops.people WHERE {condition}"
            ));
            copy.same(&format!("SELECT _id, age FROM ops.people WHERE {condition} ORDER BY age, number LIMIT 7"));
            copy.same(&format!("SELECT _id FROM ops.people WHERE {condition} ORDER BY number DESC LIMIT 7"));
            copy.same(&format!("SELECT count(*) FROM (SELECT _id FROM ops.people WHERE {condition} LIMIT 11) AS part"));
        }
    }
}

#[test]
fn order_goes_along_where_no_blank_can_be_in_it() {
    let world = people(Config::new());
    let mut copy = Copy::of(&world, &[("People", "people")]);
    for blanks_first in [true, false] {
        world.sandbox.set_airtable_switches(|switches| switches.sort_blanks_first = blanks_first);
        for (sql, sorted, limited) in [
            ("SELECT number FROM ops.people ORDER BY number LIMIT 5", true, true),
            ("SELECT number FROM ops.people WHERE active ORDER BY number DESC OFFSET 2 LIMIT 5", true, true),
            ("SELECT number FROM ops.people WHERE name IS NOT NULL ORDER BY created, number LIMIT 5", true, true),
            ("SELECT age FROM ops.people ORDER BY age LIMIT 5", false, false),
            ("SELECT age FROM ops.people WHERE age IS NOT NULL ORDER BY age LIMIT 5", true, false),
            ("SELECT born FROM ops.people WHERE born > '2000-01-01' ORDER BY born DESC LIMIT 5", true, false),
            ("SELECT name FROM ops.people WHERE name IS NOT NULL ORDER BY name LIMIT 5", false, false),
            ("SELECT salary_per_score FROM ops.people WHERE salary_per_score < 5 ORDER BY 1 LIMIT 5", false, false),
        ] {
            copy.same(sql);
            world.sandbox.clear_requests();
            copy.session.run(sql);
            let list = &world.lists()[0];
            assert_eq!(
                (list.get("sort").is_some(), list.get("maxRecords").is_some()),
                (sorted, limited),
                "{sql}\n{list}"
            );
        }
    }
}

#[test]
fn formulas_read_as_they_are_documented() {
    let world = people(Config::new());
    let mut session = world.connect();
    for (condition, formula) in [
        ("name = 'O''Brien'", "{Name}='O\\'Brien'"),
        ("name IS NULL", "{Name}&''=''"),
        ("name IS NOT NULL", "{Name}&''!=''"),
        ("age >= 5", "AND({Age}&''!='',{Age}>=5)"),
        ("age < -0.5", "AND({Age}&''!='',{Age}<-0.5)"),
        ("active", "{Active}"),
        ("NOT active", "NOT({Active})"),
        ("status IN ('Done', 'To do')", "OR({Status}='Done',{Status}='To do')"),
        (
            "born = '2024-05-31'",
            "IF({Born},AND(IS_AFTER({Born},DATETIME_PARSE('2024-05-30')),IS_BEFORE({Born},DATETIME_PARSE('2024-06-01'))),FALSE())",
        ),
        (
            "_created_time < '2022-01-03 00:00:10+00'",
            "IS_BEFORE(CREATED_TIME(),DATETIME_PARSE('2022-01-03T00:00:11.000Z'))",
        ),
        ("name LIKE 'Ada%Love%'", "AND(FIND('Ada',{Name}&'')=1,FIND('Love',{Name}&'')>0)"),
        ("name ILIKE '%ADA%'", "FIND('ada',LOWER({Name}&''))>0"),
        (
            "skills && ARRAY['SQL', 'a, b']",
            "OR(FIND('SQL',ARRAYJOIN({Skills},','))>0,FIND('a, b',ARRAYJOIN({Skills},','))>0)",
        ),
        ("label = 'x'", "IF(ISERROR({Label}='x'),FALSE(),{Label}='x')"),
        ("name <> 'x' AND active", "{Active}"),
        ("name <> 'x' OR active", ""),
    ] {
        world.sandbox.clear_requests();
        session.run(&format!("SELECT name FROM ops.people WHERE {condition}"));
        let mut wanted = formula.to_owned();
        for name in ["Name", "Age", "Active", "Status", "Born", "Skills", "Label"] {
            wanted = wanted
                .replace(&format!("{{{name}}}"), &format!("{{{}}}", world.sandbox.airtable_field("People", name)));
        }
        assert_eq!(world.formulas()[0], wanted, "{condition}");
    }
}
