//! Runs a query and compares what a client sees.

use std::collections::HashMap;

use super::query::{Mode, Order, Query};
use crate::support::{Failure, Row, Session, sorted};

/// What one execution gave.
pub type Answer = Result<Vec<Row>, Box<Failure>>;

/// The answers of all executions; an error that kept it from being prepared is the only one.
pub fn run(session: &mut Session, query: &Query, sql: &str) -> Vec<Answer> {
    match query.mode {
        Mode::Simple => vec![session.try_rows(sql)],
        Mode::Cursor { hold, back, step } => vec![fetched(session, sql, hold, back, step)],
        Mode::Prepared(mode) => {
            session.run(&format!("SET plan_cache_mode = {mode}"));
            let types: Vec<&str> = query.parameters.iter().map(|parameter| parameter.ty.as_str()).collect();
            if let Err(failure) = session.try_rows(&format!("PREPARE q{} AS {sql}", brackets(&types))) {
                return vec![Err(failure)];
            }
            let executions = query.parameters.first().map_or(2, |parameter| parameter.values.len());
            let answers = (0..executions).map(|number| session.try_rows(&execute(query, number))).collect();
            session.run("DEALLOCATE q");
            answers
        }
    }
}

/// EXECUTE of a query that is prepared as `q`.
pub fn execute(query: &Query, number: usize) -> String {
    let values: Vec<&str> = query.parameters.iter().map(|parameter| parameter.values[number].as_str()).collect();
    format!("EXECUTE q{}", brackets(&values))
}

pub fn brackets(list: &[&str]) -> String {
    if list.is_empty() { String::new() } else { format!(" ({})", list.join(", ")) }
}

fn fetched(session: &mut Session, sql: &str, hold: bool, back: bool, step: usize) -> Answer {
    let mut fetch = || {
        session.try_rows("BEGIN")?;
        let (scroll, holds) = (if back { "SCROLL" } else { "" }, if hold { "WITH HOLD" } else { "" });
        session.try_rows(&format!("DECLARE c {scroll} CURSOR {holds} FOR {sql}"))?;
        let mut rows = session.try_rows(&format!("FETCH {step} FROM c"))?;
        if hold {
            session.try_rows("COMMIT")?;
        }
        loop {
            let more = session.try_rows(&format!("FETCH {step} FROM c"))?;
            if more.is_empty() {
                break;
            }
            rows.extend(more);
        }
        if back {
            rows.extend(session.try_rows("FETCH BACKWARD ALL FROM c")?);
        }
        session.try_rows("CLOSE c")?;
        if !hold {
            session.try_rows("COMMIT")?;
        }
        Ok(rows)
    };
    let answer = fetch();
    if answer.is_err() {
        session.run("ROLLBACK");
        session.run("CLOSE ALL");
    }
    answer
}

/// What is wrong with `found` if `right` is right. `unlimited` are the rows of which any would do.
pub fn difference(order: Order, right: &[Row], found: &[Row], unlimited: Option<&[Row]>) -> Option<String> {
    if right.len() != found.len() {
        return Some(format!("{} rows instead of {}{}", found.len(), right.len(), lost_and_extra(right, found)));
    }
    if let Some(unlimited) = unlimited {
        let extra = without(found, unlimited);
        return (!extra.is_empty())
            .then(|| format!("rows that the query has not without its LIMIT: {}", short(&extra)));
    }
    let keys = match order {
        Order::None => 0,
        Order::Keys(keys) => keys,
        Order::Total => usize::MAX,
    };
    let key = |row: &Row| row[..keys.min(row.len())].to_vec();
    if let Some(at) = (0..right.len()).find(|at| key(&right[*at]) != key(&found[*at])) {
        return Some(format!(
            "row {at} is {:?} instead of {:?}{}",
            clipped(&found[at]),
            clipped(&right[at]),
            lost_and_extra(right, found)
        ));
    }
    (sorted(right.to_vec()) != sorted(found.to_vec())).then(|| format!("other rows{}", lost_and_extra(right, found)))
}

fn lost_and_extra(right: &[Row], found: &[Row]) -> String {
    let (lost, extra) = (without(right, found), without(found, right));
    format!("\n  {} lost: {}\n  {} extra: {}", lost.len(), short(&lost), extra.len(), short(&extra))
}

/// The rows of one that are not in the other, each counted.
fn without<'r>(rows: &'r [Row], others: &[Row]) -> Vec<&'r Row> {
    let mut counts: HashMap<&Row, usize> = HashMap::new();
    for row in others {
        *counts.entry(row).or_default() += 1;
    }
    let mut rest = Vec::new();
    for row in rows {
        match counts.get_mut(row) {
            Some(count) if *count > 0 => *count -= 1,
            _ => rest.push(row),
        }
    }
    rest
}

fn short(rows: &[&Row]) -> String {
    let some: Vec<_> = rows.iter().take(3).map(|row| clipped(row)).collect();
    format!("{some:?}")
}

fn clipped(row: &Row) -> Vec<String> {
    let cell = |cell: &Option<String>| {
        cell.as_deref().map_or_else(|| "NULL".to_owned(), |text| text.chars().take(60).collect())
    };
    row.iter().take(8).map(cell).collect()
}

mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        text.split(' ').map(|row| row.split(',').map(|cell| Some(cell.to_owned())).collect()).collect()
    }

    #[test]
    fn what_differs_is_told_and_what_may_differ_is_not() {
        let right = rows("1,a 1,b 2,c");
        let differs = |order: Order, found: &str| difference(order, &right, &rows(found), None).is_some();
        for order in [Order::None, Order::Keys(1), Order::Total] {
            assert!(!differs(order, "1,a 1,b 2,c"));
            for wrong in ["1,a 1,b", "1,a 1,b 2,c 2,c", "1,a 1,b 2,C", "1,a 1,a 2,c"] {
                assert!(differs(order, wrong), "{order:?} {wrong}");
            }
        }
        for (found, wrong) in [("1,b 1,a 2,c", [false, false, true]), ("2,c 1,a 1,b", [false, true, true])] {
            assert_eq!([Order::None, Order::Keys(1), Order::Total].map(|order| differs(order, found)), wrong);
        }
    }

    #[test]
    fn of_a_limit_without_order_any_rows_will_do() {
        let all = rows("1,a 1,a 1,b 2,c");
        let differs = |found: &str| difference(Order::None, &all[..2], &rows(found), Some(&all)).is_some();
        assert!(!differs("1,a 1,a") && !differs("2,c 1,b"));
        assert!(differs("2,c 2,c") && differs("3,d 1,a") && differs("1,a"));
    }
}
