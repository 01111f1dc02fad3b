//! Any request of 1,000-row inserts, updates and deletes may go wrong, again and again.

use std::collections::{BTreeMap, HashMap};
use std::env;

use proxy::{Action, Dice, Request, Schedule};

use super::judge::{Case, Verdict};
use super::line::{Line, Statement, Talk, no_complaints, on_lines};
use super::strike::{Purpose, Strike};
use crate::support::{Config, World};

const ROWS: usize = 1000;
const RUNS: usize = 300;
const LINES: usize = 10;

/// `SEQUIN_FAULT_RUNS` asks for more.
fn runs() -> usize {
    let more = env::var("SEQUIN_FAULT_RUNS").ok().and_then(|runs| runs.parse().ok());
    more.unwrap_or(RUNS).max(RUNS)
}

#[test]
fn three_hundred_random_runs_leave_each_row_once_or_say_which_are_unknown() {
    let world = World::bare(Config::new());
    // Some give up sooner.
    let options = |number: usize| format!(", max_retries '{}'", 1 + number % 2);
    let brought = on_lines(&world, LINES, options, runs(), run);
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    let mut complaints = Vec::new();
    for result in brought.into_iter().flatten() {
        match result {
            Ok((statement, Verdict::Done)) => *tally.entry(format!("{statement:?} succeeded")).or_default() += 1,
            Ok((statement, Verdict::Failed(code))) => *tally.entry(format!("{statement:?} {code}")).or_default() += 1,
            Err(complaint) => complaints.push(complaint),
        }
    }
    println!("{} runs: {tally:#?}", runs());
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
    line.fill(ROWS);
    let updated = one(update);
    let deleted = one(delete);
    vec![inserted, updated, deleted]
}

fn attempt(line: &Line<'_>, talk: &mut Talk, statement: Statement, seed: usize) -> Result<Verdict, String> {
    let before = line.held();
    line.proxy.clear_journal();
    line.proxy.set(schedule(seed, statement));
    let mark = format!("{statement:?} {seed}");
    let told = talk.run(line, statement, ROWS, &mark);
    line.proxy.set(Schedule::pass());
    let after = line.held();
    let case = Case { statement, rows: ROWS, mark: &mark, before: &before, after: &after };
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
fn schedule(seed: usize, statement: Statement) -> Schedule {
    let mut counts: HashMap<Purpose, u64> = HashMap::new();
    let rate = [0.03, 0.1, 0.25][seed / 3 % 3];
    Schedule::new(move |request: &Request| {
        let purpose = Purpose::of(&request.path);
        let count = counts.entry(purpose).or_default();
        *count += 1;
        let mut dice = Dice::new(&[seed as u64, statement as u64, purpose as u64, *count]);
        let strikes: Vec<Strike> = Strike::ALL.into_iter().filter(|strike| strike.fits(purpose)).collect();
        let (hit, which) = (dice.chance() < rate, dice.below(strikes.len()));
        which.filter(|_| hit).map_or(Action::Pass, |which| strikes[which].action(request))
    })
}
