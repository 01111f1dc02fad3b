//! Queries that do not fit into one URI.

use std::collections::HashSet;

use super::super::split::MAX_QUERY;
use super::*;
use crate::connector::contract::Connector;
use crate::error::Kind;
use crate::query::ask::BoundRead;

fn paths(fields: Vec<Field>, filter: Predicate, split: Option<&str>) -> Result<Vec<String>> {
    let read = BoundRead::new("Contact", fields, filter, serde_json::json!({ "split": split }));
    let jobs = salesforce().read(&read)?;
    Ok(jobs
        .into_iter()
        .map(|job| play(job, &[r#"{"totalSize":0,"done":true,"records":[]}"#]).0.remove(0).path)
        .collect())
}

fn ids(count: usize) -> Vec<Value> {
    (0..count).map(|n| Value::text(an_id(n))).collect()
}

/// The items of all lists on a field.
fn items(paths: &[String], field: &str) -> Vec<String> {
    let list = format!("{field} IN (");
    paths
        .iter()
        .filter_map(|path| {
            let query = soql(path);
            let (_, rest) = query.split_once(&list)?;
            Some(rest.split_once(')')?.0.to_owned())
        })
        .flat_map(|items| items.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_long_list_is_split_into_full_queries_that_share_no_id() {
    let mut values = ids(2_000);
    values.extend(ids(2_000));
    let filter = Predicate::all([is_in(&id(), values, false), compare(&int("A"), Comparison::Gt, Value::Int(1))]);
    let paths = paths(vec![id(), text("Name")], filter, Some("Id")).unwrap();
    assert_eq!(paths.len(), 4, "2000 ids of 27 bytes");
    assert!(paths.iter().all(|path| path.len() <= MAX_QUERY && soql(path).contains("A > 1")));
    assert!(paths[..3].iter().all(|path| path.len() > MAX_QUERY - 80));
    let items = items(&paths, "Id");
    assert_eq!(items.len(), 2_000);
    assert_eq!(items.iter().collect::<HashSet<_>>().len(), 2_000);
}

/// The jobs of a read that is nothing but a list of ids.
fn by_ids(fields: Vec<Field>, values: Vec<Value>) -> Vec<crate::connector::machine::Job<crate::query::page::Page>> {
    let filter = is_in(&id(), values, false);
    let read = BoundRead::new("Contact", fields, filter, serde_json::json!({ "split": "Id" }));
    salesforce().read(&read).unwrap()
}

#[test]
fn ids_alone_are_read_by_their_ids_once_they_fit_into_no_query() {
    assert_eq!(by_ids(vec![id()], ids(500)).len(), 1);
    let (sent, _) = play(by_ids(vec![id()], ids(500)).remove(0), &[r#"{"totalSize":0,"done":true,"records":[]}"#]);
    assert!(sent[0].path.contains("/query?"), "{}", sent[0].path);

    let mut values = ids(5_000);
    values.extend(ids(5_000));
    values.push(Value::text("rubbish"));
    let jobs = by_ids(vec![id(), text("Name")], values);
    assert_eq!(jobs.len(), 3);
    let mut asked = HashSet::new();
    for job in jobs {
        let (sent, brought) = play(job, &["[]"]);
        assert_eq!(failed(brought).kind(), Kind::Unreadable, "fewer records than ids");
        assert!(sent[0].path.ends_with("/composite/sobjects/Contact"), "{}", sent[0].path);
        let Some(crate::connector::wire::Body::Json(body)) = &sent[0].body else { panic!("no body") };
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["fields"], serde_json::json!(["Id", "Name"]));
        let ids = body["ids"].as_array().unwrap();
        assert!(ids.len() <= 2_000);
        assert!(ids.iter().all(|id| asked.insert(id.as_str().unwrap().to_owned())));
    }
    assert_eq!(asked.len(), 5_000);
}

#[test]
fn records_that_are_gone_are_no_rows() {
    let record = format!(r#"{{"attributes":{{"type":"Contact"}},"Id":"{}"}}"#, an_id(1));
    let answer = format!("[{}{record}]", "null,".repeat(999));
    let (_, pages) = play(by_ids(vec![id()], ids(1_000)).remove(0), &[&answer]);
    let page = pages.unwrap().remove(0);
    assert_eq!((page.rows(), &*page.record(0)), (1, &[Value::text(an_id(1))][..]));
    let (sent, pages) = play(by_ids(vec![], ids(1_000)).remove(0), &[&answer]);
    assert_eq!(pages.unwrap()[0].rows(), 1);
    assert_eq!(sent.len(), 1);
}

#[test]
fn numbers_that_are_equal_are_one_item() {
    let values = (0..4_000).map(|n| decimal(&format!("{}.{}", n / 2, "0".repeat(n % 2 + 1)))).collect();
    let paths = paths(vec![id()], is_in(&double("F"), values, false), Some("F")).unwrap();
    assert_eq!(items(&paths, "F").len(), 2_000);
}

#[test]
fn a_list_of_texts_that_does_not_fit_is_not_sent() {
    let values = (0..2_000).map(|n| Value::text(format!("some text {n}"))).collect();
    let filter =
        Predicate::all([is_in(&text("Name"), values, false), compare(&int("A"), Comparison::Gt, Value::Int(1))]);
    let [path] = paths(vec![id()], filter, None).unwrap().try_into().unwrap();
    assert_eq!(soql(&path), "SELECT Id FROM Contact WHERE A > 1");
}

#[test]
fn of_two_long_lists_only_the_promised_one_is_sent() {
    let numbers = (0..5_000).map(Value::Int).collect();
    let filter = Predicate::all([is_in(&int("A"), numbers, false), is_in(&id(), ids(1_000), false)]);
    let paths = paths(vec![id()], filter, Some("Id")).unwrap();
    assert_eq!(items(&paths, "Id").len(), 1_000);
    assert!(items(&paths, "A").is_empty());
}

#[test]
fn lists_beneath_or_and_negated_ones_are_left_out_whole() {
    let numbers: Vec<_> = (0..5_000).map(Value::Int).collect();
    for list in [
        is_in(&int("A"), numbers.clone(), true),
        Predicate::Or(vec![is_in(&int("A"), numbers, false), compare(&int("B"), Comparison::Eq, Value::Int(1))]),
    ] {
        let [path] = paths(vec![id()], list, None).unwrap().try_into().unwrap();
        assert_eq!(soql(&path), "SELECT Id FROM Contact");
    }
}

#[test]
fn what_cannot_be_made_to_fit_is_refused_as_too_large() {
    let wide = (0..400).map(|n| text(&format!("A_rather_long_name_of_a_custom_field_{n}__c"))).collect();
    let error = failed(paths(wide, Predicate::True, None));
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(error.hint_text().unwrap().contains("fewer columns"));
    let filter = is_in(&id(), ids(2_000), false);
    let read = BoundRead { limit: Some(1), ..BoundRead::new("Contact", vec![id()], filter, serde_json::Value::Null) };
    assert_eq!(failed(salesforce().read(&read)).kind(), Kind::TooLarge);
}
