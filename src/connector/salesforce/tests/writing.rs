//! What writes send, and what is made of the answers.

use super::*;
use crate::connector::contract::Connector;
use crate::connector::wire::{Body, Effect};
use crate::error::Kind;
use crate::query::change::{Change, Op, Outcome, Write};

const ROLLED_BACK: &str = r#"{"success":false,"errors":[{"statusCode":"ALL_OR_NONE_OPERATION_ROLLED_BACK","message":"Record rolled back","fields":[]}]}"#;

fn write(op: Op) -> Write {
    let mut languages = field("Languages__c", "multipicklist", Type::TextList);
    languages.capabilities.create = true;
    let fields = vec![text("LastName"), double("Score__c"), languages, text("ERP_Key__c")];
    let mut write = Write::new("Contact", op, fields);
    write.by = Some(3);
    write
}

fn change(key: &str, cells: &[(usize, Value)]) -> Change {
    Change { key: key.into(), cells: cells.to_vec() }
}

fn written(key: &str) -> String {
    format!(r#"{{"id":"{key}","success":true,"errors":[]}}"#)
}

fn refused(code: &str) -> String {
    format!(r#"{{"success":false,"errors":[{{"statusCode":"{code}","message":"no","fields":[]}}]}}"#)
}

fn run(write: &Write, changes: &[Change], answers: &[String]) -> (Vec<Request>, Result<Vec<String>>) {
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let (sent, outcomes) = play(salesforce().write(write, changes).unwrap(), &answers);
    let word = |outcome: &Outcome| match outcome {
        Outcome::Written(written) => format!("written {} {:?}", written.key, written.created),
        Outcome::Gone => "gone".to_owned(),
        Outcome::Refused(error) => format!("refused {}", error.kind().sqlstate()),
        Outcome::RolledBack => "rolled back".to_owned(),
    };
    (sent, outcomes.map(|outcomes| outcomes.concat().iter().map(word).collect()))
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn body(request: &Request) -> &str {
    match &request.body {
        Some(Body::Json(json)) => std::str::from_utf8(json).unwrap(),
        _ => "",
    }
}

#[test]
fn each_kind_of_write_is_one_request_for_all_or_none() {
    let cells = [(0, Value::text("O'\"Hara\n")), (1, decimal("1.5E+3")), (2, Value::List([Value::text("a")].into()))];
    let changes = [change("003A", &cells), change("003B", &[(0, Value::Null)])];
    let answer = list(&[written("003A"), written("003B")]);
    let all = r#"{"allOrNone":true,"records":"#;
    let first = r#""LastName":"O'\"Hara\n","Score__c":1500,"Languages__c":"a"}"#;
    let second = r#""LastName":null}"#;
    let typed = r#"{"attributes":{"type":"Contact"}"#;
    let base = "/services/data/v62.0/composite/sobjects";
    for (op, method, path, expected, effect) in [
        (Op::Insert, "POST", base.to_owned(), format!("{all}[{typed},{first},{typed},{second}]}}"), Effect::Once),
        (
            Op::Update,
            "PATCH",
            base.to_owned(),
            format!(r#"{all}[{typed},"id":"003A",{first},{typed},"id":"003B",{second}]}}"#),
            Effect::Repeatable,
        ),
        (Op::Delete, "DELETE", format!("{base}?ids=003A%2C003B&allOrNone=true"), String::new(), Effect::Repeatable),
        (
            Op::Upsert,
            "PATCH",
            format!("{base}/Contact/ERP_Key__c"),
            format!("{all}[{typed},{first},{typed},{second}]}}"),
            Effect::Repeatable,
        ),
    ] {
        let (sent, outcomes) = run(&write(op), &changes, std::slice::from_ref(&answer));
        let [request] = &sent[..] else { panic!("one request") };
        assert_eq!((request.method.as_str(), request.path.as_str(), request.effect), (method, path.as_str(), effect));
        assert_eq!(body(request), expected);
        assert_eq!(outcomes.unwrap(), ["written 003A None", "written 003B None"]);
    }
}

#[test]
fn records_that_are_gone_are_taken_out_and_the_rest_is_sent_again() {
    let changes = [change("003A", &[]), change("003B", &[]), change("003C", &[])];
    for op in [Op::Update, Op::Delete] {
        let first = list(&[ROLLED_BACK.to_owned(), refused("ENTITY_IS_DELETED"), ROLLED_BACK.to_owned()]);
        let second = list(&[written("003A"), written("003C")]);
        let (sent, outcomes) = run(&write(op), &changes, &[first, second]);
        assert_eq!(outcomes.unwrap(), ["written 003A None", "gone", "written 003C None"]);
        assert!(!body(&sent[1]).contains("003B") && !sent[1].path.contains("003B"));
    }
}

#[test]
fn a_reference_that_dangles_is_told_from_a_record_that_is_gone() {
    let changes = [change("003A", &[]), change("003B", &[])];
    let first = || list(&[ROLLED_BACK.to_owned(), refused("INVALID_CROSS_REFERENCE_KEY")]);
    let (sent, outcomes) = run(&write(Op::Update), &changes, &[first(), r#"[{"Id":"003B"}]"#.to_owned()]);
    assert_eq!(outcomes.unwrap(), ["rolled back", "refused 23503"]);
    assert_eq!(
        (sent[1].path.as_str(), sent[1].effect),
        ("/services/data/v62.0/composite/sobjects/Contact", Effect::None)
    );
    assert_eq!(body(&sent[1]), r#"{"fields":["Id"],"ids":["003B"]}"#);
    let (sent, outcomes) = run(&write(Op::Update), &changes, &[first(), "[null]".to_owned(), list(&[written("003A")])]);
    assert_eq!(outcomes.unwrap(), ["written 003A None", "gone"]);
    assert_eq!(sent.len(), 3);
}

#[test]
fn a_locked_record_is_waited_for_but_not_for_ever() {
    let changes = [change("003A", &[]), change("003B", &[])];
    let busy = || list(&[refused("UNABLE_TO_LOCK_ROW"), ROLLED_BACK.to_owned()]);
    let fine = list(&[written("003A"), written("003B")]);
    for op in [Op::Insert, Op::Update, Op::Delete] {
        let (sent, outcomes) = run(&write(op), &changes, &[busy(), busy(), fine.clone()]);
        assert_eq!((sent.len(), outcomes.unwrap().len()), (3, 2));
        let (sent, outcomes) = run(&write(op), &changes, &[busy(), busy(), busy(), busy(), busy()]);
        assert_eq!(outcomes.unwrap(), ["refused 55P03", "rolled back"]);
        assert_eq!(sent.len(), 5);
    }
}

#[test]
fn one_refused_record_keeps_its_batch_back() {
    let changes = [change("", &[]), change("", &[]), change("", &[])];
    let answer = list(&[ROLLED_BACK.to_owned(), refused("REQUIRED_FIELD_MISSING"), ROLLED_BACK.to_owned()]);
    let (sent, outcomes) = run(&write(Op::Insert), &changes, &[answer]);
    assert_eq!(outcomes.unwrap(), ["rolled back", "refused 23502", "rolled back"]);
    assert_eq!(sent.len(), 1);
}

#[test]
fn a_value_that_cannot_be_said_keeps_its_batch_back_and_nothing_is_sent() {
    for (value, state) in [
        ((1, decimal("NaN")), "22003"),
        ((1, Value::Float(f64::INFINITY)), "22003"),
        ((1, decimal("1e100000")), "22003"),
        ((0, Value::Date(i32::MAX)), "22003"),
        ((0, Value::Date(-98_616)), "22003"),
        ((0, Value::Instant(i64::MIN)), "22003"),
        ((0, Value::Time(86_400_000_000)), "22003"),
        ((2, Value::List([Value::text("a;b")].into())), "22P02"),
        ((2, Value::List([Value::Null].into())), "22P02"),
        ((2, Value::List([Value::text("")].into())), "22P02"),
        ((0, Value::List([Value::text("a")].into())), "22P02"),
        ((0, Value::Bytes([1].into())), "0A000"),
    ] {
        let changes = [change("003A", &[(0, Value::text("x"))]), change("003B", std::slice::from_ref(&value))];
        let (sent, outcomes) = run(&write(Op::Update), &changes, &[]);
        assert_eq!(outcomes.unwrap(), ["rolled back".to_owned(), format!("refused {state}")], "{value:?}");
        assert!(sent.is_empty());
    }
}

#[test]
fn duplicates_are_passed_over_where_the_statement_says_so() {
    let changes = [change("", &[]), change("", &[])];
    let first = list(&[refused("DUPLICATE_VALUE"), ROLLED_BACK.to_owned()]);
    let mut write = write(Op::Insert);
    write.skip_duplicates = true;
    let (_, outcomes) = run(&write, &changes, &[first, list(&[written("003B")])]);
    assert_eq!(outcomes.unwrap(), ["gone", "written 003B None"]);
}

#[test]
fn an_answer_without_sense_is_asked_for_again_only_where_twice_is_as_good_as_once() {
    let changes = [change("003A", &[]), change("003B", &[])];
    let fine = || list(&[written("003A"), written("003B")]);
    for rubbish in ["", "{}", "[]", "nonsense", &list(&[ROLLED_BACK.to_owned(), ROLLED_BACK.to_owned()])] {
        let (sent, outcomes) = run(&write(Op::Update), &changes, &[rubbish.to_owned(), fine()]);
        assert_eq!((sent.len(), outcomes.unwrap().len()), (2, 2), "{rubbish}");
        let (sent, outcomes) = run(&write(Op::Update), &changes, &vec![rubbish.to_owned(); 3]);
        assert_eq!((sent.len(), failed(outcomes).kind()), (3, Kind::OutcomeUnknown), "{rubbish}");
        let (sent, outcomes) = run(&write(Op::Insert), &changes, &[rubbish.to_owned()]);
        assert_eq!((sent.len(), failed(outcomes).kind()), (1, Kind::OutcomeUnknown), "{rubbish}");
    }
}

#[test]
fn a_refusal_does_not_say_what_became_of_an_attempt_whose_answer_was_lost() {
    let changes = [change("003A", &[]), change("003B", &[])];
    let lost = || "rubbish".to_owned();
    let refusal = list(&[ROLLED_BACK.to_owned(), refused("STRING_TOO_LONG")]);
    let (_, outcomes) = run(&write(Op::Update), &changes, &[lost(), refusal]);
    let error = failed(outcomes);
    assert_eq!(error.kind(), Kind::OutcomeUnknown);
    assert!(error.message().contains("the text is longer than the field"), "{error}");
    let busy = list(&[refused("UNABLE_TO_LOCK_ROW"), ROLLED_BACK.to_owned()]);
    let answers: Vec<_> = [lost()].into_iter().chain(std::iter::repeat_n(busy.clone(), 5)).collect();
    let (_, outcomes) = run(&write(Op::Update), &changes, &answers);
    assert_eq!(failed(outcomes).kind(), Kind::OutcomeUnknown);
    let gone = list(&[refused("ENTITY_IS_DELETED"), refused("ENTITY_IS_DELETED")]);
    let (_, outcomes) = run(&write(Op::Delete), &changes, &[lost(), busy, gone]);
    assert_eq!(outcomes.unwrap(), ["written 003A None", "written 003B None"]);
}

#[test]
fn a_repeated_delete_that_finds_nothing_has_deleted() {
    let changes = [change("003A", &[]), change("003B", &[])];
    let gone = list(&[refused("ENTITY_IS_DELETED"), refused("ENTITY_IS_DELETED")]);
    let (_, outcomes) = run(&write(Op::Delete), &changes, &["rubbish".to_owned(), gone.clone()]);
    assert_eq!(outcomes.unwrap(), ["written 003A None", "written 003B None"]);
    let (_, outcomes) = run(&write(Op::Delete), &changes, &[gone]);
    assert_eq!(outcomes.unwrap(), ["gone", "gone"]);
}

#[test]
fn what_the_api_keeps_as_the_same_is_the_same() {
    let (text, number, flag) = (text("A"), double("B"), field("C", "boolean", Type::Bool));
    let instant = field("D", "datetime", Type::Instant);
    let same = |field: &Field, one: Value, other: Value| salesforce().same(field, &one, &other);
    assert!(same(&text, Value::text(""), Value::Null));
    assert!(same(&number, decimal("1.50"), decimal("1.5")) && same(&number, decimal("1E2"), decimal("100")));
    assert!(same(&flag, Value::Null, Value::Bool(false)));
    for (micros, kept) in [(1_000_000_499, 1_000_000_000), (1_000_000_500, 1_000_001_000)] {
        // Halves go away from 2000-01-01, from which Postgres counts.
        const MILLENNIUM: i64 = 946_684_800_000_000;
        assert!(same(&instant, Value::Instant(MILLENNIUM + micros), Value::Instant(MILLENNIUM + kept)));
        assert!(same(&instant, Value::Instant(MILLENNIUM - micros), Value::Instant(MILLENNIUM - kept)));
    }
    assert!(!same(&text, Value::text("a"), Value::text("A")) && !same(&number, decimal("NaN"), decimal("0")));
    assert!(!same(&flag, Value::Null, Value::Bool(true)) && !same(&text, Value::text("0"), Value::Null));
}

#[test]
fn older_versions_of_the_api_say_that_they_cannot() {
    let old = |version| Salesforce::new(&server(&[("api_version", version)])).unwrap();
    assert_eq!(failed(old("41.0").write(&write(Op::Insert), &[])).kind(), Kind::NotSupported);
    assert!(old("42.0").write(&write(Op::Insert), &[]).is_ok());
    assert_eq!(failed(old("45.0").write(&write(Op::Upsert), &[])).kind(), Kind::NotSupported);
}
