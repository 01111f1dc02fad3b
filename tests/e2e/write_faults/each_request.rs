//! Each request of a statement goes wrong in each way, once or for good, and it is known beforehand how the statement ends.

use proxy::{Action, Request, Schedule};

use super::judge::Verdict;
use super::line::{Line, Statement, no_complaints, on_lines};
use super::strike::{Purpose, Strike};
use super::subject::{OF_AIRTABLE, OF_SALESFORCE, Subject};
use crate::support::{Config, World, on_each};

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

/// Each request goes wrong in each way once; for good, only from some of them on.
fn fates(subject: &Subject, purposes: &[Purpose]) -> Vec<Fate> {
    let mut fates = Vec::new();
    for purpose in purposes.iter().filter(|purpose| subject.signs_in || **purpose != Purpose::SignIn) {
        let last = match purpose {
            Purpose::SignIn => 0,
            Purpose::Write => subject.requests - 1,
            Purpose::Page | Purpose::ReadBack => 2,
        };
        for nth in 0..=last {
            for strike in subject.strikes(*purpose) {
                let ways = if nth < 2 || nth == last { &[false, true][..] } else { &[false] };
                fates.extend(ways.iter().map(|for_good| Fate { purpose: *purpose, nth, strike, for_good: *for_good }));
            }
        }
    }
    fates
}

impl Fate {
    fn schedule(self, subject: &'static Subject) -> Schedule {
        let mut seen = 0;
        Schedule::new(move |request: &Request| {
            if (subject.purpose)(&request.path) != self.purpose {
                return Action::Pass;
            }
            seen += 1;
            let struck = if self.for_good { seen > self.nth } else { seen == self.nth + 1 };
            if struck { self.strike.action(request, subject) } else { Action::Pass }
        })
    }

    /// How the statement is to end.
    fn verdict(self, subject: &Subject, statement: Statement) -> Verdict {
        let failed = |code: &str| Verdict::Failed(code.to_owned());
        let read = self.purpose != Purpose::Write;
        let clear = match self.strike {
            Strike::Unavailable if read || subject.unavailable_is_clear => "08006",
            Strike::Throttled => "53400",
            Strike::Expired => "28000",
            Strike::Locked => "55P03",
            _ if !read => "08007",
            strike if strike.is_unreadable() => "HV00M",
            _ => "08006",
        };
        let ends_at_once = match self.purpose {
            // A token that nobody gave out is no reason to ask for one.
            purpose if self.strike == Strike::Expired => purpose == Purpose::SignIn || !subject.signs_in,
            Purpose::Write => statement.inserts() && !subject.is_clear(self.strike),
            _ => self.strike.is_unreadable(),
        };
        if self.for_good || ends_at_once { failed(clear) } else { Verdict::Done }
    }
}

fn check(subject: &'static Subject, statement: Statement, purposes: &[Purpose]) {
    let world = World::unimported(subject.api, Config::new());
    let fates = fates(subject, purposes);
    let complaints = on_lines(
        &world,
        subject,
        LINES,
        |_| ", max_retries '1'".to_owned(),
        fates.len(),
        |line, at| suffer(line, statement, fates[at], at),
    );
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

fn suffer(line: &Line<'_>, statement: Statement, fate: Fate, at: usize) -> Result<(), String> {
    let expected = fate.verdict(line.subject, statement);
    let schedule = fate.schedule(line.subject);
    let (verdict, detail) = line.judged(statement, &format!("case {at}, {fate:?}"), || line.proxy.set(schedule))?;
    match verdict == expected {
        true => Ok(()),
        false => {
            Err(format!("{statement:?}, {fate:?}: {verdict:?} instead of {expected:?}: {detail}\n{}", line.story()))
        }
    }
}

fn each_request_of_an_insert(subject: &'static Subject) {
    check(subject, Statement::Insert, &[Purpose::SignIn, Purpose::Write]);
}

fn each_request_of_an_insert_that_reads_back(subject: &'static Subject) {
    check(subject, Statement::InsertReturning, &[Purpose::Write, subject.reads_back]);
}

fn each_request_of_a_copy(subject: &'static Subject) {
    check(subject, Statement::Copy, &[Purpose::SignIn, Purpose::Write]);
}

fn each_request_of_an_update(subject: &'static Subject) {
    check(subject, Statement::Update, &[Purpose::SignIn, Purpose::Page, Purpose::Write]);
}

fn each_request_of_a_direct_update(subject: &'static Subject) {
    check(subject, Statement::UpdateDirectly, &[Purpose::Page, Purpose::Write]);
}

fn each_request_of_a_delete(subject: &'static Subject) {
    check(subject, Statement::Delete, &[Purpose::Page, Purpose::Write]);
}

fn each_request_of_a_direct_delete(subject: &'static Subject) {
    check(subject, Statement::DeleteDirectly, &[Purpose::SignIn, Purpose::Page, Purpose::Write]);
}

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    each_request_of_an_insert,
    each_request_of_an_insert_that_reads_back,
    each_request_of_a_copy,
    each_request_of_an_update,
    each_request_of_a_direct_update,
    each_request_of_a_delete,
    each_request_of_a_direct_delete,
}
