//! Any request of inserts, updates and deletes of many rows may go wrong, again and again.

use std::collections::{BTreeMap, HashMap};
use std::env;

use proxy::{Action, Dice, Request, Schedule};

use super::judge::{Case, Verdict};
use super::line::{Line, Statement, Talk, no_complaints, on_lines};
use super::strike::Purpose;
use super::subject::{OF_AIRTABLE, OF_SALESFORCE, Subject};
use crate::support::{Config, World, on_each};

const LINES: usize = 10;

/// `SEQUIN_FAULT_RUNS` asks for more.
fn runs(subject: &Subject) -> usize {
    let more = env::var("SEQUIN_FAULT_RUNS").ok().and_then(|runs| runs.parse::<usize>().ok());
    more.unwrap_or_default().max(subject.random_runs)
}

fn random_runs_leave_each_row_once_or_say_which_are_unknown(subject: &'static Subject) {
    let world = World::unimported(subject.api, Config::new());
    let runs = runs(subject);
    // Some give up sooner.
    let options = |number: usize| format!(", max_retries '{}'", 1 + number % 2);
    let brought = on_lines(&world, subject, LINES, options, runs, run);
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut complaints = Vec::new();
    for result in brought.into_iter().flatten() {
        match result {
            Ok((statement, Verdict::Done)) => *tally.entry(format!("{statement:?} succeeded")).or_default() += 1,
            Ok((statement, Verdict::Failed(code))) => *tally.entry(format!("{statement:?} {code}")).or_default() += 1,
            Err(complaint) => complaints.push(complaint),
        }
    }
    println!("{runs} runs: {tally:#?}");
    no_complaints(&complaints);
    assert!(tally.len() > 6, "too few ways to end: {tally:?}");
}

/// One session inserts, updates and deletes; in between, what a fault left undone is made up for.
fn run(line: &Line<'_>, seed: usize) -> Vec<Result<(Statement, Verdict), String>> {
    let insert = [Statement::Insert, Statement::InsertReturning, Statement::Copy][seed % 3];
    let update = [Statement::Update, Statement::UpdateDirectly][seed % 2];
    let delete = [Statement::Delete, Statement::DeleteDirectly][seed / 2 % 2];
    let mut talk = line.connect();
    line.empty();
    let mut one = |statement: Statement| {
        let result = attempt(line, &mut talk, statement, seed);
        result.map(|verdict| (statement, verdict))
    };
    let inserted = one(insert);
    line.fill(line.subject.random_rows);
    let updated = one(update);
    let deleted = one(delete);
    vec![inserted, updated, deleted]
}

fn attempt(line: &Line<'_>, talk: &mut Talk, statement: Statement, seed: usize) -> Result<Verdict, String> {
    let (before, rows) = (line.held(), line.subject.random_rows);
    line.proxy.clear_journal();
    line.proxy.set(schedule(line.subject, seed, statement));
    let mark = format!("{statement:?} {seed}");
    let told = talk.run(line, statement, rows, &mark);
    line.proxy.set(Schedule::pass());
    let after = line.held();
    let case = Case { line, statement, rows, mark: &mark, before: &before, after: &after };
    let verdict = case.judge(&told).and_then(|verdict| {
        // The session is as good as before.
        let count = talk.session.number(&format!("SELECT count(*) FROM {}", line.table));
        if count as usize == after.len() { Ok(verdict) } else { Err(format!("the session then counts {count}")) }
    });
    verdict.map_err(|wrong| {
        format!("seed {seed}, {statement:?}: {wrong}\n{:#?}\n{:#?}\n{}", told.outcome, told.warnings, line.story())
    })
}

/// A request's fate depends on the seed, on what it is for and on how many of its kind came before: pages are read while
/// others are written, so what came before it altogether is chance.
fn schedule(subject: &'static Subject, seed: usize, statement: Statement) -> Schedule {
    let mut counts: HashMap<Purpose, u64> = HashMap::new();
    let rate = [0.03, 0.1, 0.25][seed / 3 % 3];
    Schedule::new(move |request: &Request| {
        let purpose = (subject.purpose)(&request.path);
        let count = counts.entry(purpose).or_default();
        *count += 1;
        let mut dice = Dice::new(&[seed as u64, statement as u64, purpose as u64, *count]);
        let strikes = subject.strikes(purpose);
        let (hit, which) = (dice.chance() < rate, dice.below(strikes.len()));
        which.filter(|_| hit).map_or(Action::Pass, |which| strikes[which].action(request, subject))
    })
}

on_each! {
    of_salesforce: &OF_SALESFORCE, of_airtable: &OF_AIRTABLE;
    random_runs_leave_each_row_once_or_say_which_are_unknown,
}
