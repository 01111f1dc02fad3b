//! What is planned and what comes of it, for one query of every kind: `snapshots/*.sql`.
//!
//! Each file is a script whose statements stand before what they give: `-->` the lines of EXPLAIN (VERBOSE, COSTS OFF), `--=` the
//! result, its first rows. Rows that no order was asked of are sorted. `SEQUIN_SNAPSHOTS=write` writes down what is given now;
//! look at the difference before you commit it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use postgres::SimpleQueryMessage;

use crate::support::{Config, Failure, Session, World};

/// So many rows of a result are kept.
const MOST_ROWS: usize = 5;

/// So much of a list of output columns.
const MOST_OUTPUT: usize = 150;

#[test]
fn plans_and_results_of_every_kind_of_query_are_those_written_down() {
    let scripts = scripts();
    assert!(scripts.len() > 10, "too few scripts: {scripts:?}");
    let write = env::var("SEQUIN_SNAPSHOTS").is_ok_and(|wish| wish == "write");
    let mut different = Vec::new();
    for path in scripts {
        let config = Config::new().records("Contact", 300).records("Account", 40).records("Every_Type__c", 60);
        // A contact with a case could not be deleted.
        let world = World::new(config.records("Case", 0));
        let mut session = world.connect();
        // Other versions plan otherwise.
        if session.number("SHOW server_version_num") / 10_000 != 15 {
            return;
        }
        world.import(&mut session, "every_type__c");
        let kept = fs::read_to_string(&path).expect("a script can be read");
        let given = played(&mut session, &kept);
        if given == kept {
            continue;
        }
        if write {
            fs::write(&path, &given).expect("a script can be written");
        }
        different.push(format!("{}: {}", path.display(), first_difference(&kept, &given)));
    }
    assert!(
        write || different.is_empty(),
        "{}\n(SEQUIN_SNAPSHOTS=write writes down what is given now)",
        different.join("\n\n")
    );
}

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/snapshots");
    let entries = fs::read_dir(directory).expect("the scripts are there");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    paths
}

/// The script with what its statements give now.
fn played(session: &mut Session, script: &str) -> String {
    let mut given = String::new();
    let mut statement = String::new();
    for line in script.lines().filter(|line| !line.starts_with("-->") && !line.starts_with("--=")) {
        given += line;
        given += "\n";
        if line.starts_with("--") {
            continue;
        }
        statement += line;
        statement += "\n";
        if line.ends_with(';') {
            answer(session, statement.trim().trim_end_matches(';'), &mut given);
            statement.clear();
        }
    }
    assert!(statement.trim().is_empty(), "no semicolon ends {statement}");
    given
}

fn answer(session: &mut Session, statement: &str, given: &mut String) {
    let verb = statement.split_whitespace().next().unwrap_or_default();
    if !matches!(verb, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "EXECUTE" | "TABLE") {
        session.run(statement);
        return;
    }
    let mut tell = |mark: &str, line: &str| {
        for line in line.lines() {
            *given += format!("{mark} {line}").trim_end();
            *given += "\n";
        }
    };
    for line in session.column(&format!("EXPLAIN (VERBOSE, COSTS OFF) {statement}")) {
        tell("-->", &shortened(&line));
    }
    match result(session, statement) {
        Ok((mut rows, summary)) => {
            if !is_ordered(statement) {
                rows.sort();
            }
            rows.iter().take(MOST_ROWS).for_each(|row| tell("--=", &row.replace('\n', "\\n")));
            tell("--=", &summary);
        }
        Err(failure) => tell("--=", &format!("ERROR {}: {}", failure.code, failure.message)),
    }
}

/// Whether it says ORDER BY outside of all brackets.
fn is_ordered(statement: &str) -> bool {
    let mut depth = 0;
    let outside = |c: &char| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    };
    statement.chars().filter(outside).collect::<String>().contains("ORDER BY")
}

/// Rows, and how many there are.
fn result(session: &mut Session, statement: &str) -> Result<(Vec<String>, String), Box<Failure>> {
    let messages = session.client().simple_query(statement).map_err(|error| Box::new(Failure::of(&error)))?;
    let (mut rows, mut count) = (Vec::new(), 0);
    for message in &messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL"));
                rows.push(cells.collect::<Vec<_>>().join(" | "));
            }
            SimpleQueryMessage::CommandComplete(number) => count = *number,
            _ => {}
        }
    }
    Ok((rows, format!("({count} {})", if count == 1 { "row" } else { "rows" })))
}

/// A list of all columns of a table says nothing.
fn shortened(line: &str) -> String {
    if !line.trim_start().starts_with("Output:") || line.chars().count() <= MOST_OUTPUT {
        return line.to_owned();
    }
    line.chars().take(MOST_OUTPUT).chain(['…']).collect()
}

fn first_difference(kept: &str, given: &str) -> String {
    let (mut kept, mut given) = (kept.lines(), given.lines());
    let mut statement = "";
    loop {
        match (kept.next(), given.next()) {
            (None, None) => return "only line ends differ".to_owned(),
            (one, other) if one == other => {
                statement = one.filter(|line| !line.starts_with("--")).unwrap_or(statement);
            }
            (one, other) => {
                return format!(
                    "{statement}\n  kept:  {}\n  given: {}",
                    one.unwrap_or_default(),
                    other.unwrap_or_default()
                );
            }
        }
    }
}
