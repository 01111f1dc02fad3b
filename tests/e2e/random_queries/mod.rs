//! Random queries on foreign tables return what they return on local copies: the same with `sequin_fdw.pushdown` off, prepared
//! and not, in databases with C and with ICU collation. A seed is a query:
//!
//! - `SEQUIN_SEED=1234` runs that one alone, and says what it does;
//! - `SEQUIN_SEED=0..10000` runs so many (`make soak`).

mod compare;
mod condition;
mod draw;
mod fixture;
mod maker;
mod query;
mod subject;
mod tally;
mod values;

use std::env;
use std::ops::Range;

use self::query::{Mode, Query, query};
use self::subject::{OF_AIRTABLE, OF_SALESFORCE, Subject};
use self::tally::Tally;
use crate::support::{Config, Session, World};

/// So many mismatches are told before the rest is given up.
const MOST_TOLD: usize = 10;

/// How many there are of each in `make test`.
const USUAL: Range<u64> = 0..200;
const FEWER: Range<u64> = 0..100;

#[test]
fn random_queries_of_salesforce_return_what_local_tables_return_under_the_c_collation() {
    compare(&OF_SALESFORCE, USUAL, C, |config| config.seed(11));
}

/// And an API that takes the other side wherever its documentation leaves a choice.
#[test]
fn random_queries_of_salesforce_return_what_local_tables_return_under_an_icu_collation() {
    compare_under_icu(&OF_SALESFORCE, USUAL);
}

#[test]
fn random_queries_of_airtable_return_what_local_tables_return_under_the_c_collation() {
    compare(&OF_AIRTABLE, FEWER, C, |config| config.seed(11));
}

#[test]
fn random_queries_of_airtable_return_what_local_tables_return_under_an_icu_collation() {
    compare_under_icu(&OF_AIRTABLE, FEWER);
}

const C: &str = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";

fn compare_under_icu(subject: &'static Subject, usual: Range<u64>) {
    if World::bare(Config::new()).connect().number("SHOW server_version_num") < 150_000 {
        return;
    }
    let icu = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
    compare(subject, usual, icu, |config| (subject.api.contrary)(config.seed(12)));
}

fn compare(subject: &'static Subject, usual: Range<u64>, database: &str, sandbox: impl FnOnce(Config) -> Config) {
    let (seeds, alone) = seeds(usual);
    let world = fixture::world(subject, database, sandbox);
    let tables = fixture::tables(subject, &world);
    let mut bench = Bench { session: world.connect(), world: &world, subject, tally: Tally::default(), alone };
    let mut wrong = Vec::new();
    for seed in seeds {
        wrong.extend(bench.check(&query(seed, subject, &tables)).err());
        if wrong.len() == MOST_TOLD {
            break;
        }
    }
    println!("{}: {}{database}", subject.api.title, bench.tally);
    assert!(wrong.is_empty(), "{} mismatches\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// What SEQUIN_SEED asks for, and whether it is one alone.
fn seeds(usual: Range<u64>) -> (Range<u64>, bool) {
    let Ok(asked) = env::var("SEQUIN_SEED") else { return (usual, false) };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|error| panic!("SEQUIN_SEED={asked}: {error}"));
    match asked.split_once("..") {
        Some((from, to)) => (number(from)..number(to), false),
        None => (number(&asked)..number(&asked) + 1, true),
    }
}

struct Bench<'w> {
    world: &'w World,
    subject: &'static Subject,
    session: Session,
    tally: Tally,
    /// Tell all about it.
    alone: bool,
}

impl Bench<'_> {
    /// Runs a query locally and, with pushdown and without, remotely. The error tells what differs and how to see it again.
    fn check(&mut self, query: &Query) -> Result<(), String> {
        self.session.run(&format!("RESET ALL; SET statement_timeout = '60s'; {}", query.settings));
        let local = |sql: &str| sql.replace(&format!("{}.", self.subject.api.schema), "local.");
        let right = compare::run(&mut self.session, query, &local(&query.sql));
        let unlimited = query.unlimited.as_ref().map(|sql| compare::run(&mut self.session, query, &local(sql)));
        self.tally.queries += 1;
        if self.alone {
            println!("{}\n{} executions", told(query), right.len());
        }
        for answer in &right {
            match answer {
                Ok(rows) => {
                    self.tally.rows += rows.len();
                    self.tally.empty += usize::from(rows.is_empty());
                }
                // A query that makes no sense is the generator's mistake.
                Err(failure) if failure.code.starts_with("42") || failure.code == "57014" => {
                    return Err(format!("no query: {}\n{failure:#?}", told(query)));
                }
                Err(_) => {}
            }
        }
        self.plan(query);
        for (off, pushdown) in ["on", "off"].into_iter().enumerate() {
            self.session.run(&format!("SET sequin_fdw.pushdown = {pushdown}"));
            self.world.sandbox.clear_requests();
            let found = compare::run(&mut self.session, query, &query.sql);
            self.tally.requests[off] += self.world.sandbox.requests().len();
            self.tally.executions += found.len();
            if self.alone {
                println!("pushdown {pushdown}: {:#?}", self.world.queries());
            }
            for (number, right) in right.iter().enumerate() {
                let unlimited = unlimited.as_ref().and_then(|answers| answers.get(number)?.as_ref().ok());
                let wrong = match (right, found.get(number)) {
                    (Ok(right), Some(Ok(found))) => {
                        compare::difference(query.order, right, found, unlimited.map(Vec::as_slice))
                    }
                    (Err(right), Some(Err(found))) => {
                        self.tally.errors += 1;
                        self.tally.other_codes += usize::from(right.code != found.code);
                        None
                    }
                    // Local rows may be looked at that a limit, or the API, keeps away here.
                    (Err(_), Some(Ok(_))) => None,
                    (Ok(_), Some(Err(failure))) => Some(format!("fails: {failure:#?}")),
                    (_, None) => Some("was not executed".to_owned()),
                };
                if let Some(wrong) = wrong {
                    let mut queries = self.world.queries();
                    queries.truncate(12);
                    return Err(format!(
                        "pushdown {pushdown}, execution {number}: {wrong}\n{}\nasked: {queries:#?}",
                        told(query)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Looks at the plan for what is asked of the API.
    fn plan(&mut self, query: &Query) {
        if query.conjuncts.is_empty() {
            return;
        }
        self.session.run("SET sequin_fdw.pushdown = on");
        let explain = "EXPLAIN (VERBOSE, FORMAT JSON)";
        let plan = match query.mode {
            Mode::Prepared(_) => {
                let types: Vec<&str> = query.parameters.iter().map(|parameter| parameter.ty.as_str()).collect();
                self.session.run(&format!("PREPARE q{} AS {}", compare::brackets(&types), query.sql));
                let executed =
                    if query.parameters.is_empty() { "EXECUTE q".to_owned() } else { compare::execute(query, 0) };
                let plan = self.session.try_rows(&format!("{explain} {executed}"));
                self.session.run("DEALLOCATE q");
                plan
            }
            _ => self.session.try_rows(&format!("{explain} {}", query.sql)),
        };
        // Planning may evaluate constants that make an error of it.
        let Ok(plan) = plan else { return };
        let text = plan.first().and_then(|row| row[0].clone()).unwrap_or_default();
        let plan = serde_json::from_str(&text).expect("EXPLAIN's JSON is JSON");
        self.tally.count(self.subject, query.seed, &query.conjuncts, &plan);
    }
}

/// The query, and how to run it again.
fn told(query: &Query) -> String {
    let parameters: Vec<String> = query
        .parameters
        .iter()
        .enumerate()
        .map(|(number, parameter)| format!("\n  ${} {} = {}", number + 1, parameter.ty, parameter.values.join(" | ")))
        .collect();
    format!(
        "SEQUIN_SEED={} ({:?}, {:?}, {})\n  {}{}",
        query.seed,
        query.mode,
        query.order,
        query.settings,
        query.sql,
        parameters.concat()
    )
}
