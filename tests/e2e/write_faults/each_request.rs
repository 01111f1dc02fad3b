//! Each request of a statement goes wrong in each way, once or for good, and it is known beforehand how the statement ends.

use proxy::{Action, Request, Schedule};

use super::judge::Verdict;
use super::line::{Line, Statement, no_complaints, on_lines};
use super::strike::{Purpose, Strike};
use crate::support::{Config, World};

const LINES: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Fate {
    purpose: Purpose,
    /// Among the requests of this purpose, from 0.
    nth: usize,
    strike: Strike,
    /// Also whatever of this purpose comes after it.
    for_good: bool,
}

fn fates(purposes: &[Purpose]) -> Vec<Fate> {
    let mut fates = Vec::new();
    for purpose in purposes {
        let last = if *purpose == Purpose::SignIn { 0 } else { 2 };
        for nth in 0..=last {
            for strike in Strike::ALL.into_iter().filter(|strike| strike.fits(*purpose)) {
                fates.extend([false, true].map(|for_good| Fate { purpose: *purpose, nth, strike, for_good }));
            }
        }
    }
    fates
}

impl Fate {
    fn schedule(self) -> Schedule {
        let mut seen = 0;
        Schedule::new(move |request: &Request| {
            if Purpose::of(&request.path) != self.purpose {
                return Action::Pass;
            }
            seen += 1;
            let struck = if self.for_good { seen > self.nth } else { seen == self.nth + 1 };
            if struck { self.strike.action(request) } else { Action::Pass }
        })
    }

    /// How the statement is to end.
    fn verdict(self, statement: Statement) -> Verdict {
        let failed = |code: &str| Verdict::Failed(code.to_owned());
        let read = self.purpose != Purpose::Write;
        let clear = match self.strike {
            Strike::Unavailable => "08006",
            Strike::Throttled => "53400",
            Strike::Expired => "28000",
            Strike::Locked => "55P03",
            _ if !read => "08007",
            strike if strike.is_unreadable() => "HV00M",
            _ => "08006",
        };
        let ends_at_once = match self.purpose {
            // A token that nobody gave out is no reason to ask for one.
            Purpose::SignIn if self.strike == Strike::Expired => true,
            Purpose::Write => statement.inserts() && !self.strike.is_clear(),
            _ => self.strike.is_unreadable(),
        };
        if self.for_good || ends_at_once { failed(clear) } else { Verdict::Done }
    }
}

fn check(statement: Statement, purposes: &[Purpose]) {
    let world = World::bare(Config::new());
    let fates = fates(purposes);
    let complaints = on_lines(
        &world,
        LINES,
        |_| ", max_retries '1'".to_owned(),
        fates.len(),
        |line, at| suffer(line, statement, fates[at], at),
    );
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

fn suffer(line: &Line<'_>, statement: Statement, fate: Fate, at: usize) -> Result<(), String> {
    let expected = fate.verdict(statement);
    let (verdict, detail) =
        line.judged(statement, &format!("case {at}, {fate:?}"), || line.proxy.set(fate.schedule()))?;
    match verdict == expected {
        true => Ok(()),
        false => {
            Err(format!("{statement:?}, {fate:?}: {verdict:?} instead of {expected:?}: {detail}\n{}", line.story()))
        }
    }
}

#[test]
fn each_request_of_an_insert() {
    check(Statement::Insert, &[Purpose::SignIn, Purpose::Write]);
}

#[test]
fn each_request_of_an_insert_that_reads_back() {
    check(Statement::InsertReturning, &[Purpose::Write, Purpose::ReadBack]);
}

#[test]
fn each_request_of_a_copy() {
    check(Statement::Copy, &[Purpose::SignIn, Purpose::Write]);
}

#[test]
fn each_request_of_an_update() {
    check(Statement::Update, &[Purpose::SignIn, Purpose::Page, Purpose::Write]);
}

#[test]
fn each_request_of_a_direct_update() {
    check(Statement::UpdateDirectly, &[Purpose::Page, Purpose::Write]);
}

#[test]
fn each_request_of_a_delete() {
    check(Statement::Delete, &[Purpose::Page, Purpose::Write]);
}

#[test]
fn each_request_of_a_direct_delete() {
    check(Statement::DeleteDirectly, &[Purpose::SignIn, Purpose::Page, Purpose::Write]);
}
