//! What goes into formulas, and which order goes along.

use crate::support::{Config, Copy, World};

fn people(config: Config) -> World {
    World::airtable(config.records("People", 150).records("Measurements", 400))
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

#[test]
fn explain_shows_the_formula_of_a_list_with_a_null_in_it() {
    let world = people(Config::new());
    let mut session = world.connect();
    for (condition, shown) in [
        ("status IN ('Done', 'To do', NULL)", "='Done'"),
        ("name LIKE ANY (ARRAY['Ada%', NULL])", "FIND('Ada'"),
        ("skills && ARRAY['SQL', NULL]", "FIND('SQL'"),
        ("age NOT IN (1, NULL) AND active", "nothing"),
        ("_id IN ('rec00000000000000', NULL)", "RECORD_ID()='rec00000000000000'"),
    ] {
        let plan = session.explain("VERBOSE, COSTS off", &format!("SELECT name FROM ops.people WHERE {condition}"));
        let query = plan.lines().find(|line| line.contains("Remote Query")).unwrap_or_default();
        assert!(query.contains(shown) && !query.contains("cannot be worded"), "{condition}\n{plan}");
    }
}
