//! What synced tables ask, and what they learn.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::connector::contract::Connector;
use crate::query::delta::{Delta, Feed, Followed};

fn feed(stamp: &str, deletions: bool) -> Feed {
    Feed { wire: json!({ "stamp": stamp, "deletions": deletions }), deletions }
}

fn followed() -> Followed {
    let name = Field { capabilities: Capabilities::default(), ..text("LastName") };
    let feed = Some(feed("SystemModstamp", true));
    Followed { object: "Contact".to_owned(), fields: vec![id(), name], feed }
}

/// The SOQL of requests, with the verb before it.
fn soql(sent: &[Request]) -> Vec<String> {
    let words = |request: &Request| {
        let (path, query) = request.path.split_once("?q=").unwrap_or((&request.path, ""));
        let query = percent_encoding::percent_decode_str(query).decode_utf8().unwrap();
        format!("{}: {query}", path.rsplit('/').next().unwrap_or_default())
    };
    sent.iter().map(words).collect()
}

fn keys(delta: &Delta) -> Vec<String> {
    (0..delta.records.rows()).map(|row| delta.records.value(row, 0).to_input()).collect()
}

#[test]
fn an_object_is_followed_by_the_time_of_its_last_change() {
    let stamp = |name: &str, filter| Field {
        name: name.to_owned(),
        remote_type: "datetime".to_owned(),
        capabilities: Capabilities { filter, sort: true, ..Capabilities::default() },
        ..text(name)
    };
    let salesforce = salesforce();
    let found = |fields| salesforce.feed(&object(fields));
    assert_eq!(found(vec![id(), stamp("CreatedDate", true)]), None);
    assert_eq!(found(vec![id(), stamp("SystemModstamp", false)]), None);
    assert_eq!(
        found(vec![id(), stamp("LastModifiedDate", true), stamp("SystemModstamp", true), text("IsDeleted")]),
        Some(feed("SystemModstamp", true))
    );
    assert_eq!(found(vec![id(), stamp("LastModifiedDate", true)]), Some(feed("LastModifiedDate", false)));
}

#[test]
fn a_sweep_goes_by_ids_and_can_go_on_after_any_page() {
    let salesforce = salesforce();
    let pages = [
        r#"{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/01g-2","records":[{"Id":"003000000000001AAA","LastName":"A"},{"Id":"003000000000002AAA","LastName":"B"}]}"#,
        r#"{"totalSize":3,"done":true,"records":[{"Id":"003000000000003AAA","LastName":"C"}]}"#,
    ];
    let (sent, deltas) = play(salesforce.sweep(&followed(), None).unwrap(), &pages);
    assert_eq!(soql(&sent)[0], "query: SELECT Id, LastName FROM Contact ORDER BY Id ASC NULLS LAST");
    let deltas = deltas.unwrap();
    let position = deltas[0].position.clone();
    assert_eq!(position, Some(json!({ "after": "003000000000002AAA" })));
    let (sent, _) = play(salesforce.sweep(&followed(), position.as_ref()).unwrap(), &pages[1..]);
    assert!(soql(&sent)[0].contains("WHERE Id > '003000000000002AAA' ORDER BY Id"), "{sent:?}", sent = soql(&sent));
}

#[test]
fn changes_tell_of_deletions_and_move_on_in_time() {
    let salesforce = salesforce();
    // 2026-01-01T00:00:00Z.
    let since = json!({ "since": 1_767_225_600_000_000_i64 });
    let page = r#"{"totalSize":2,"done":true,"records":[
        {"Id":"003000000000001AAA","LastName":"A","SystemModstamp":"2026-01-01T00:00:05.000+0000","IsDeleted":false},
        {"Id":"003000000000002AAA","LastName":"B","SystemModstamp":"2026-01-01T00:00:07.000+0000","IsDeleted":true}]}"#;
    let job = salesforce.changes(&followed(), Some(&since), Duration::from_secs(10)).unwrap();
    let (sent, deltas) = play(job, &[page]);
    assert_eq!(
        soql(&sent),
        [
            "queryAll: SELECT Id, LastName, SystemModstamp, IsDeleted FROM Contact WHERE SystemModstamp >= 2025-12-31T23:59:50.000Z \
          ORDER BY SystemModstamp ASC NULLS LAST, Id ASC NULLS LAST"
        ]
    );
    let deltas = deltas.unwrap();
    assert_eq!(
        (keys(&deltas[0]), deltas[0].gone.as_slice()),
        (vec!["003000000000001AAA".to_owned()], &["003000000000002AAA".to_owned()][..])
    );
    let last = deltas.last().and_then(|delta| delta.position.clone());
    assert_eq!(last, Some(json!({ "since": 1_767_225_607_000_000_i64 })));
}

#[test]
fn the_first_position_is_that_of_the_newest_record() {
    let salesforce = salesforce();
    let page = r#"{"totalSize":1,"done":true,"records":[{"Id":"003000000000001AAA","SystemModstamp":"2026-01-01T00:00:05.000+0000"}]}"#;
    let (sent, deltas) = play(salesforce.changes(&followed(), None, Duration::ZERO).unwrap(), &[page]);
    assert_eq!(
        soql(&sent),
        ["query: SELECT Id, SystemModstamp FROM Contact ORDER BY SystemModstamp DESC NULLS LAST LIMIT 1"]
    );
    let deltas = deltas.unwrap();
    assert!(deltas.iter().all(|delta| delta.records.rows() == 0));
    assert_eq!(deltas.last().unwrap().position, Some(json!({ "since": 1_767_225_605_000_000_i64 })));
}
