//! What there is to read.

use super::*;
use crate::connector::contract::{Connector, Listing};
use crate::error::Kind;
use crate::schema::Reference;

#[test]
fn the_version_of_the_api_is_checked() {
    for (version, base) in [("31.0", "/services/data/v31.0"), ("65.0", "/services/data/v65.0")] {
        let salesforce = Salesforce::new(&server(&[("api_version", version)])).unwrap();
        assert_eq!(salesforce.base(), base);
    }
    assert_eq!(salesforce().base(), "/services/data/v62.0");
    for version in ["30.0", "62", "v62.0", "62.5", ".0", "+62.0", "62.0/../x", "99999999999.0"] {
        let error = failed(Salesforce::new(&server(&[("api_version", version)])));
        assert_eq!(error.kind(), Kind::BadOption, "{version}");
    }
}

#[test]
fn objects_that_can_be_queried_are_listed() {
    let body = r#"{"encoding":"UTF-8","sobjects":[
        {"name":"Account","queryable":true,"deprecatedAndHidden":false},
        {"name":"Vote","queryable":true,"deprecatedAndHidden":false},
        {"name":"Old","queryable":true,"deprecatedAndHidden":true},
        {"name":"Blind","queryable":false,"deprecatedAndHidden":false},
        {"name":"AccountChangeEvent","queryable":true,"deprecatedAndHidden":false}]}"#;
    let (sent, lists) = play(salesforce().list("salesforce").unwrap(), &[body]);
    assert_eq!(sent[0].path, "/services/data/v62.0/sobjects");
    let listing = |name: &str, special| Listing { name: name.to_owned(), label: None, special };
    assert_eq!(lists.unwrap(), [vec![listing("Account", false), listing("Vote", true)]]);
    assert_eq!(failed(salesforce().list("public")).kind(), Kind::UnknownSchema);
    let (_, lists) = play(salesforce().list("salesforce").unwrap(), &["[]"]);
    assert_eq!(failed(lists).kind(), Kind::Unreadable);
}

#[test]
fn an_object_is_described_with_its_fields() {
    let field = |name: &str, ty: &str, rest: &str| {
        format!(
            r#"{{"name":"{name}","type":"{ty}","filterable":true,"sortable":true,"groupable":false,
                "aggregatable":true,"createable":true,"updateable":false,"label":"x",{rest}"relationshipOrder":null}}"#
        )
    };
    let fields = [
        field("Id", "id", r#""referenceTo":[],"relationshipName":null,"#),
        field("WhoId", "reference", r#""referenceTo":["Contact","Lead"],"relationshipName":"Who","#),
        field("BillingAddress", "address", ""),
        field("Gone", "string", r#""deprecatedAndHidden":true,"#),
        field("Amount", "currency", ""),
        field("Body", "base64", ""),
    ];
    let body = format!(
        r#"{{"name":"Task","createable":true,"updateable":false,"deletable":true,"fields":[{}]}}"#,
        fields.join(",")
    );
    for climbing in ["Task/../x", "..", ".", "%2e%2e", "", "Task?x"] {
        let (sent, refused) = play(salesforce().describe(climbing), &[&body]);
        assert!(sent.is_empty() && refused.unwrap_err().kind() == crate::error::Kind::UnknownObject, "{climbing}");
    }
    let (sent, objects) = play(salesforce().describe("Task"), &[&body]);
    assert_eq!(sent[0].path, "/services/data/v62.0/sobjects/Task/describe");
    let object = objects.unwrap().remove(0);
    assert_eq!(object.name, "Task");
    assert_eq!(object.operations.format(), "insert, delete");
    assert_eq!(object.fields.iter().find(|field| field.key).unwrap().name, "Id");
    let types: Vec<_> = object.fields.iter().map(|field| (field.name.as_str(), field.ty)).collect();
    assert_eq!(
        types,
        [
            ("Id", Type::Text),
            ("WhoId", Type::Text),
            ("BillingAddress", Type::Json),
            ("Amount", Type::Decimal),
            ("Body", Type::Text)
        ]
    );
    assert_eq!(object.fields[0].references, None);
    let who =
        Reference { objects: vec!["Contact".to_owned(), "Lead".to_owned()], relationship: Some("Who".to_owned()) };
    assert_eq!(object.fields[1].references, Some(who));
    assert_eq!(object.fields[1].capabilities.format(), "filter, sort, aggregate, create");
    assert!(!object.fields[2].capabilities.filter, "an address can be filtered by distance alone");
    let (_, objects) = play(salesforce().describe("Task"), &[r#"{"name":"Task"}"#]);
    assert_eq!(failed(objects).kind(), Kind::Unreadable);
}

#[test]
fn records_are_counted_in_requests_that_fit() {
    let names: Vec<_> = (0..201).map(|n| format!("Object_{n}__c")).collect();
    let body = r#"{"sObjects":[{"count":17,"name":"Account"}]}"#;
    let (sent, counts) = play(salesforce().counts(&names).unwrap(), &[body, body]);
    assert_eq!(counts.unwrap()[1], [("Account".to_owned(), 17)]);
    assert_eq!(sent[1].path, "/services/data/v62.0/limits/recordCount?sObjects=Object_200__c");
    let (sent, counts) = play(salesforce().counts(&[]).unwrap(), &[]);
    assert!(sent.is_empty() && counts.unwrap().is_empty());
}
