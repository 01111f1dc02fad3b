//! A batch whose answer was lost is sent again where that does no harm. What comes then does not tell what became of the first
//! request, unless it is done.

use proxy::{Action, Request, Schedule};

use super::judge::Verdict;
use super::line::{Line, Statement, no_complaints, on_lines};
use super::strike::{Purpose, Strike};
use super::subject::{OF_AIRTABLE, OF_SALESFORCE, Subject};
use crate::support::{Config, World, on_each};

/// What becomes of the second batch, time and again: first, then for good.
fn second_batch(subject: &'static Subject, first: Strike, then: Strike) -> Schedule {
    let mut writes = 0;
    Schedule::new(move |request: &Request| {
        writes += usize::from((subject.purpose)(&request.path) == Purpose::Write);
        match ((subject.purpose)(&request.path), writes) {
            (Purpose::Write, 2) => first.action(request, subject),
            (Purpose::Write, 3..) => then.action(request, subject),
            _ => Action::Pass,
        }
    })
}

/// The first request was done; or it is still at work, and holds the records itself.
fn a_refusal_does_not_tell_that_an_earlier_request_was_not_done(subject: &'static Subject) {
    let mut cases = Vec::new();
    for statement in [Statement::Update, Statement::UpdateDirectly, Statement::Delete, Statement::DeleteDirectly] {
        for first in [Strike::DropAfter, Strike::FailureAfter, Strike::Garbage, Strike::TruncateCleanly] {
            let refusals = [Strike::Locked, Strike::Unavailable, Strike::Throttled, Strike::Expired];
            let refusals = refusals.into_iter().filter(|then| subject.locks || *then != Strike::Locked);
            cases.extend(refusals.map(|then| (statement, first, then)));
        }
    }
    let world = World::unimported(subject.api, Config::new());
    let options = |_| ", max_retries '1'".to_owned();
    let complaints = on_lines(&world, subject, 4, options, cases.len(), |line, at| {
        let (statement, first, then) = cases[at];
        let mark = format!("{first:?}, then {then:?}");
        let (verdict, detail) = line.judged(statement, &mark, || line.proxy.set(second_batch(subject, first, then)))?;
        match verdict == Verdict::Failed("08007".to_owned()) {
            true => Ok(()),
            false => Err(format!("{statement:?}, {mark}: {verdict:?}\n{detail}\n{}", line.story())),
        }
    });
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

fn a_delete_that_was_done_counts_though_a_refusal_came_in_between(subject: &'static Subject) {
    let world = World::unimported(subject.api, Config::new());
    let line = Line::new(&world, subject, 0, ", max_retries '2'");
    let refusal = if subject.locks { Strike::Locked } else { Strike::Throttled };
    for statement in [Statement::Delete, Statement::DeleteDirectly] {
        for first in [Strike::DropAfter, Strike::FailureAfter, Strike::Garbage] {
            let mut writes = 0;
            let schedule = Schedule::new(move |request: &Request| {
                writes += usize::from((subject.purpose)(&request.path) == Purpose::Write);
                match ((subject.purpose)(&request.path), writes) {
                    (Purpose::Write, 2) => first.action(request, subject),
                    (Purpose::Write, 3) => refusal.action(request, subject),
                    _ => Action::Pass,
                }
            });
            let ended = line.judged(statement, "", || line.proxy.set(schedule));
            assert_eq!(ended.unwrap_or_else(|wrong| panic!("{first:?}: {wrong}")).0, Verdict::Done);
        }
    }
}

/// Airtable tells of a batch that one of its records is not there, and is asked which.
#[test]
fn a_look_for_deleted_records_that_makes_no_sense_does_not_end_the_doubt() {
    let subject = &OF_AIRTABLE;
    let world = World::unimported(subject.api, Config::new());
    let line = Line::new(&world, subject, 0, ", max_retries '1'");
    for look in [Strike::Garbage, Strike::Empty, Strike::TruncateCleanly, Strike::DropAfter, Strike::Expired] {
        let mut writes = 0;
        let schedule = Schedule::new(move |request: &Request| {
            writes += usize::from((subject.purpose)(&request.path) == Purpose::Write);
            match ((subject.purpose)(&request.path), writes) {
                (Purpose::Write, 2) => Action::DropAfter,
                (Purpose::Page, 2..) => look.action(request, subject),
                _ => Action::Pass,
            }
        });
        let ended = line.judged(Statement::Delete, "", || line.proxy.set(schedule));
        let verdict = ended.unwrap_or_else(|wrong| panic!("{look:?}: {wrong}")).0;
        assert_eq!(verdict, Verdict::Failed("08007".to_owned()), "{look:?}\n{}", line.story());
    }
}

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    a_refusal_does_not_tell_that_an_earlier_request_was_not_done,
    a_delete_that_was_done_counts_though_a_refusal_came_in_between,
}
