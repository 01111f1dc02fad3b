//! A write that hangs is cancelled, timed out or terminated: nobody knows what became of it, and it is not sent again.

use std::thread;
use std::time::{Duration, Instant};

use proxy::{Action, Request, Schedule};

use super::judge::{Case, Verdict};
use super::line::{Line, Statement, Told, no_complaints, on_lines};
use super::strike::{Purpose, Strike};
use super::subject::{OF_AIRTABLE, OF_SALESFORCE, Subject};
use crate::support::{Config, World, on_each};

const STATEMENTS: [Statement; 6] = [
    Statement::Insert,
    Statement::Copy,
    Statement::Update,
    Statement::UpdateDirectly,
    Statement::Delete,
    Statement::DeleteDirectly,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Cancelled,
    TimedOut,
    Terminated,
}

/// The second batch goes like this, however often it is sent.
fn second_batch(subject: &'static Subject, action: Action) -> Schedule {
    let mut writes = 0;
    Schedule::new(move |request: &Request| {
        let write = (subject.purpose)(&request.path) == Purpose::Write;
        writes += usize::from(write);
        if write && writes >= 2 { action.clone() } else { Action::Pass }
    })
}

struct Ended {
    told: Told,
    /// The backend's.
    pid: i32,
    /// From the order to end until the statement had.
    took: Duration,
}

/// Runs a statement whose second batch hangs until the statement is ended.
fn end_it(line: &Line<'_>, statement: Statement, action: &Action, end: End, mark: &str) -> Ended {
    line.proxy.clear_journal();
    line.proxy.set(second_batch(line.subject, action.clone()));
    let mut talk = line.connect();
    let pid = talk.session.pid();
    if end == End::TimedOut {
        talk.session.run("SET statement_timeout = '2s'");
    }
    thread::scope(|scope| {
        let ender = scope.spawn(move || {
            let start = Instant::now();
            // What is not forwarded has happened as soon as it arrives.
            let arrived = || {
                let journal = line.proxy.journal();
                let mut writes = journal.iter().filter(|entry| (line.subject.purpose)(&entry.path) == Purpose::Write);
                writes.nth(1).is_some_and(|entry| entry.status.is_some() || !entry.action.forwards())
            };
            while !arrived() && start.elapsed() < Duration::from_secs(10) {
                thread::sleep(Duration::from_millis(5));
            }
            // So that the answer, if one is to come at all soon, is there.
            thread::sleep(Duration::from_millis(50));
            let function = match end {
                End::Cancelled => "pg_cancel_backend",
                End::Terminated => "pg_terminate_backend",
                End::TimedOut => return None,
            };
            let mut admin = line.admin();
            let ordered = Instant::now();
            admin.run(&format!("SELECT {function}({pid})"));
            Some(ordered)
        });
        let told = talk.run(line, statement, line.subject.rows(), mark);
        let ended = Instant::now();
        let ordered = ender.join().expect("it does not panic");
        let took = ordered.map_or(Duration::ZERO, |ordered| ended.saturating_duration_since(ordered));
        Ended { told, pid, took }
    })
}

fn check(line: &Line<'_>, statement: Statement, action: &Action, end: End, mark: &str) -> Result<(), String> {
    if statement.inserts() {
        line.empty()
    } else {
        line.fill(line.subject.rows())
    }
    let before = line.held();
    let Ended { told, pid, took } = end_it(line, statement, action, end, mark);
    // Time for a repetition, if there were one.
    thread::sleep(Duration::from_millis(500));
    let sent = line.count(Purpose::Write);
    line.proxy.set(Schedule::pass());
    let after = line.held();
    let case = Case { line, statement, rows: line.subject.rows(), mark, before: &before, after: &after };
    if end == End::Terminated {
        let code = told.outcome.as_ref().err().map(|failure| failure.code.as_str());
        if !matches!(code, Some("57P01" | "")) {
            return Err(format!("it does not end: {:#?}", told.outcome));
        }
        // The client may have seen a closed connection and nothing else.
        if !line.log_of(pid).contains(&format!("DETAIL:  Nobody knows whether these were {}", statement.past())) {
            return Err(format!("the log does not say that nobody knows: {}", line.log_of(pid)));
        }
    } else {
        match case.judge(&told)? {
            Verdict::Failed(code) if code == "57014" => {}
            other => return Err(format!("{other:?}")),
        }
        if told.unknown.len() != line.subject.batch {
            return Err(format!("{} records are unknown", told.unknown.len()));
        }
    }
    let landed = case.landed()?.iter().filter(|landed| **landed).count();
    if landed != line.subject.batch * if action.forwards() { 2 } else { 1 } {
        return Err(format!("{landed} records are written"));
    }
    if sent != 2 {
        return Err(format!("{sent} writes were sent"));
    }
    if took > Duration::from_secs(2) {
        return Err(format!("it took {took:?}"));
    }
    Ok(())
}

fn check_all(subject: &'static Subject, end: End) {
    let world = World::unimported(subject.api, Config::new());
    // Not done, and done.
    let actions = [Action::Hang, Action::Delay(Duration::from_secs(20))];
    let complaints = on_lines(
        &world,
        subject,
        4,
        |_| String::new(),
        8,
        |line, at| {
            let (statement, action) = (STATEMENTS[at % 6], &actions[at / 6]);
            let result = check(line, statement, action, end, &format!("case {at}"));
            result.map_err(|wrong| format!("{statement:?}, {action:?}: {wrong}\n{}", line.story()))
        },
    );
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

fn a_write_that_hangs_is_cancelled(subject: &'static Subject) {
    check_all(subject, End::Cancelled);
}

fn a_write_that_hangs_is_ended_by_statement_timeout(subject: &'static Subject) {
    check_all(subject, End::TimedOut);
}

fn a_write_that_hangs_is_terminated(subject: &'static Subject) {
    check_all(subject, End::Terminated);
}

/// What is to be told depends on what happened before the wait.
fn a_wait_until_a_write_may_be_sent_again_is_ended(subject: &'static Subject) {
    const MAYBE: &str = "Nobody knows";
    let world = World::unimported(subject.api, Config::new());
    let cases = [
        (Statement::Insert, 429, Strike::Throttled),
        (Statement::Copy, 429, Strike::Throttled),
        (Statement::Update, 503, Strike::Unavailable),
        (Statement::Update, 500, Strike::Failure),
        (Statement::DeleteDirectly, 503, Strike::Unavailable),
        (Statement::DeleteDirectly, 500, Strike::Failure),
    ];
    let complaints = on_lines(
        &world,
        subject,
        3,
        |_| String::new(),
        cases.len(),
        |line, at| {
            let (statement, status, strike) = cases[at];
            let doubted = !subject.is_clear(strike);
            let answer = Action::answer(status, "[]").header("Retry-After", "30");
            if statement.inserts() {
                line.empty()
            } else {
                line.fill(line.subject.rows())
            }
            let (before, mark) = (line.held(), format!("case {at}"));
            let Ended { told, took, .. } = end_it(line, statement, &answer, End::Cancelled, &mark);
            line.proxy.set(Schedule::pass());
            let after = line.held();
            let case = Case { line, statement, rows: line.subject.rows(), mark: &mark, before: &before, after: &after };
            let verdict = case.judge(&told);
            let detail = told.outcome.as_ref().err().and_then(|failure| failure.detail.clone()).unwrap_or_default();
            let right = verdict == Ok(Verdict::Failed("57014".to_owned()))
                && detail.contains(MAYBE) == doubted
                && told.unknown.len() == if doubted { subject.batch } else { 0 }
                && line.count(Purpose::Write) == 2
                && took < Duration::from_secs(2);
            let wrong = || {
                format!("{statement:?}, {status}: {verdict:?} after {took:?}\n{:#?}\n{}", told.outcome, line.story())
            };
            if right { Ok(()) } else { Err(wrong()) }
        },
    );
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

/// Nobody interrupts it: the server's `request_timeout` does.
fn a_write_that_takes_too_long_is_given_up(subject: &'static Subject) {
    let world = World::unimported(subject.api, Config::new());
    let mut cases = Vec::new();
    for statement in STATEMENTS {
        // Once, the records are written in the end; for good, they may be.
        cases.extend([(statement, false), (statement, true)]);
    }
    let options = |_| ", max_retries '1', request_timeout '0.5'".to_owned();
    let complaints = on_lines(&world, subject, 4, options, cases.len(), |line, at| {
        let (statement, for_good) = cases[at];
        let mut writes = 0;
        let schedule = Schedule::new(move |request: &Request| {
            writes += usize::from((subject.purpose)(&request.path) == Purpose::Write);
            match ((subject.purpose)(&request.path), writes) {
                (Purpose::Write, 2) => Action::Delay(Duration::from_secs(10)),
                (Purpose::Write, 3..) if for_good => Action::Hang,
                _ => Action::Pass,
            }
        });
        let (verdict, detail) = line.judged(statement, &format!("case {at}"), || line.proxy.set(schedule))?;
        let unknown = for_good || statement.inserts();
        let expected = if unknown { Verdict::Failed("08007".to_owned()) } else { Verdict::Done };
        match verdict == expected {
            true => Ok(()),
            false => Err(format!("{statement:?}, {for_good}: {verdict:?}\n{detail}\n{}", line.story())),
        }
    });
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    a_write_that_hangs_is_cancelled,
    a_write_that_hangs_is_ended_by_statement_timeout,
    a_write_that_hangs_is_terminated,
    a_wait_until_a_write_may_be_sent_again_is_ended,
    a_write_that_takes_too_long_is_given_up,
}
