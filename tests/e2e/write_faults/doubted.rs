//! A batch whose answer was lost is sent again where that does no harm. What comes then does not tell what became of the first
//! request, unless it is done.

use proxy::{Action, Request, Schedule};

use super::judge::Verdict;
use super::line::{Line, Statement, no_complaints, on_lines};
use super::strike::{Purpose, Strike};
use crate::support::{Config, World};

/// What becomes of the second batch, time and again: first, then for good.
fn second_batch(first: Strike, then: Strike) -> Schedule {
    let mut writes = 0;
    Schedule::new(move |request: &Request| {
        writes += usize::from(Purpose::of(&request.path) == Purpose::Write);
        match (Purpose::of(&request.path), writes) {
            (Purpose::Write, 2) => first.action(request),
            (Purpose::Write, 3..) => then.action(request),
            _ => Action::Pass,
        }
    })
}

/// The first request was done; or it is still at work, and holds the records itself.
#[test]
fn a_refusal_does_not_tell_that_an_earlier_request_was_not_done() {
    let mut cases = Vec::new();
    for statement in [Statement::Update, Statement::UpdateDirectly, Statement::Delete, Statement::DeleteDirectly] {
        for first in [Strike::DropAfter, Strike::FailureAfter, Strike::Garbage, Strike::TruncateCleanly] {
            let refusals = [Strike::Locked, Strike::Unavailable, Strike::Throttled, Strike::Expired];
            cases.extend(refusals.map(|then| (statement, first, then)));
        }
    }
    let world = World::bare(Config::new());
    let options = |_| ", max_retries '1'".to_owned();
    let complaints = on_lines(&world, 4, options, cases.len(), |line, at| {
        let (statement, first, then) = cases[at];
        let mark = format!("{first:?}, then {then:?}");
        let (verdict, detail) = line.judged(statement, &mark, || line.proxy.set(second_batch(first, then)))?;
        match verdict == Verdict::Failed("08007".to_owned()) {
            true => Ok(()),
            false => Err(format!("{statement:?}, {mark}: {verdict:?}\n{detail}\n{}", line.story())),
        }
    });
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

#[test]
fn a_delete_that_was_done_counts_though_a_lock_came_in_between() {
    let world = World::bare(Config::new());
    let line = Line::new(&world, 0, ", max_retries '2'");
    for statement in [Statement::Delete, Statement::DeleteDirectly] {
        for first in [Strike::DropAfter, Strike::FailureAfter, Strike::Garbage] {
            let mut writes = 0;
            let schedule = Schedule::new(move |request: &Request| {
                writes += usize::from(Purpose::of(&request.path) == Purpose::Write);
                match (Purpose::of(&request.path), writes) {
                    (Purpose::Write, 2) => first.action(request),
                    (Purpose::Write, 3) => Strike::Locked.action(request),
                    _ => Action::Pass,
                }
            });
            let ended = line.judged(statement, "", || line.proxy.set(schedule));
            assert_eq!(ended.unwrap_or_else(|wrong| panic!("{first:?}: {wrong}")).0, Verdict::Done);
        }
    }
}
