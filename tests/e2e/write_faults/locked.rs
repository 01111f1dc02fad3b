//! Somebody else holds a record of a batch for a while, as Salesforce alone tells.

use super::judge::Verdict;
use super::line::{Line, Statement, no_complaints, on_lines};
use super::strike::Purpose;
use super::subject::OF_SALESFORCE;
use crate::support::{Action, Config, Fault, World};

const STATEMENTS: [Statement; 7] = [
    Statement::Insert,
    Statement::InsertReturning,
    Statement::Copy,
    Statement::Update,
    Statement::UpdateDirectly,
    Statement::Delete,
    Statement::DeleteDirectly,
];

#[test]
fn a_record_that_is_locked_for_a_while_is_waited_for() {
    let world = World::bare(Config::new());
    let options = |_| ", max_retries '2'".to_owned();
    let complaints = on_lines(&world, &OF_SALESFORCE, 4, options, STATEMENTS.len(), |line, at| {
        (1..=3).try_for_each(|times| check(line, STATEMENTS[at], times))
    });
    no_complaints(&complaints.into_iter().filter_map(Result::err).collect::<Vec<_>>());
}

fn check(line: &Line<'_>, statement: Statement, times: usize) -> Result<(), String> {
    let lock = Action::RefuseRecord {
        at: 7,
        code: "UNABLE_TO_LOCK_ROW".to_owned(),
        message: "unable to obtain exclusive access to this record".to_owned(),
        fields: Vec::new(),
        status: 400,
    };
    let method = match statement {
        Statement::Update | Statement::UpdateDirectly => "PATCH",
        Statement::Delete | Statement::DeleteDirectly => "DELETE",
        Statement::Insert | Statement::InsertReturning | Statement::Copy => "POST",
    };
    // With RETURNING, the first batch is read back in between.
    let skip = if statement == Statement::InsertReturning { 2 } else { 1 };
    let fault = Fault::new(lock).method(method).path("/composite/sobjects").skip(skip).times(times);
    let (verdict, detail) = line.judged(statement, &format!("locked {times} times"), || line.sandbox.fault(fault))?;
    let sent = line.count(Purpose::Write);
    let right = match times {
        3 => {
            verdict == Verdict::Failed("55P03".to_owned())
                && detail.contains("It is row 208 of the statement")
                && sent == 4
        }
        _ => verdict == Verdict::Done && sent == 3 + times,
    };
    let wrong = || format!("{statement:?}, locked {times} times: {verdict:?}\n{detail}\n{}", line.story());
    if right { Ok(()) } else { Err(wrong()) }
}
