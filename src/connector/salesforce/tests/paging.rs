//! Pages: how they follow each other, and how cells are read.

use super::*;
use crate::connector::contract::Connector;
use crate::error::Kind;
use crate::query::ask::BoundRead;
use crate::query::page::{Page, Record, Weigh};

fn scan(fields: Vec<Field>, answers: &[&str]) -> (Vec<Request>, Result<Vec<Page>>) {
    let read = BoundRead::new("Contact", fields, Predicate::True, serde_json::Value::Null);
    let sized = Salesforce::new(&server(&[("page_size", "10")])).unwrap();
    play(sized.read(&read).unwrap().remove(0), answers)
}

/// The cell of a page with one record that has one field.
fn cell(field: &Field, json: &str) -> Result<Value> {
    let body = format!(
        r#"{{"totalSize":1,"done":true,"records":[{{"attributes":{{"type":"X","url":"/x"}},"{}":{json}}}]}}"#,
        field.name
    );
    let (_, pages) = scan(vec![field.clone()], &[&body]);
    pages.map(|pages| pages[0].record(0)[0].clone())
}

fn answer(rest: &str) -> String {
    format!(r#"{{"totalSize":9,{rest},"records":[{{"Id":"a"}}]}}"#)
}

#[test]
fn pages_are_followed_to_the_last_with_the_same_headers() {
    let (sent, pages) = scan(
        vec![id()],
        &[
            r#"{"records":[{"attributes":{},"Id":"a"},{"Id":"b"}],"nextRecordsUrl":"/services/data/v62.0/query/01g-2","done":false,"totalSize":3}"#,
            r#"{"totalSize":3,"done":false,"nextRecordsUrl":"https://acme.my.salesforce.com/services/data/v62.0/query/01g-3","records":[]}"#,
            r#"{"totalSize":3,"done":true,"nextRecordsUrl":null,"records":[{"Id":"c"}]}"#,
        ],
    );
    let pages = pages.unwrap();
    assert_eq!(pages.iter().map(Weigh::rows).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!(*pages[0].record(1), [Value::text("b")]);
    let paths: Vec<_> = sent.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/services/data/v62.0/query?q=SELECT%20Id%20FROM%20Contact",
            "/services/data/v62.0/query/01g-2",
            "/services/data/v62.0/query/01g-3",
        ]
    );
    let header = ("Sforce-Query-Options", "batchSize=200".to_owned());
    assert!(sent.iter().all(|request| request.headers == [header.clone()] && request.authorized));
}

#[test]
fn records_are_counted_where_no_field_is_wanted() {
    let (_, pages) = scan(vec![], &[r#"{"totalSize":2,"done":true,"records":[{"Id":"a"},{"Id":"b"}]}"#]);
    assert_eq!(pages.unwrap()[0].rows(), 2);
}

#[test]
fn fewer_records_than_were_found_are_records_deleted_meanwhile() {
    let first = answer(r#""done":false,"nextRecordsUrl":"/services/data/v62.0/query/01g-1""#);
    let (_, pages) = scan(vec![id()], &[&first, &answer(r#""done":true"#)]);
    assert_eq!(pages.unwrap().len(), 2);
}

#[test]
fn a_link_that_leads_astray_is_never_followed() {
    for (link, words) in [
        ("https://evil.example/services/data/v62.0/query/01g-1", "another host"),
        ("//evil.example/services/data/v62.0/query/01g-1", "another host"),
        (r"\\\\evil.example/services/data/", "another host"),
        ("http://acme.my.salesforce.com/services/data/v62.0/query/01g-1", "another host"),
        ("https://acme.my.salesforce.com:444/services/data/v62.0/query/01g-1", "another host"),
        ("https://me@acme.my.salesforce.com/services/data/v62.0/query/01g-1", "another host"),
        ("/services/data/../oauth2/token", "out of the API"),
        ("/servlet/logout", "out of the API"),
        ("javascript:alert(1)", "another host"),
    ] {
        let body = answer(&format!(r#""done":false,"nextRecordsUrl":"{link}""#));
        let (sent, pages) = scan(vec![id()], &[&body]);
        let error = failed(pages);
        assert_eq!((sent.len(), error.kind()), (1, Kind::Unreadable), "{link}");
        assert!(error.message().contains(words), "{link}: {error}");
    }
}

#[test]
fn scans_that_would_never_end_are_errors() {
    let again = answer(r#""done":false,"nextRecordsUrl":"/services/data/v62.0/query/01g-1""#);
    assert!(failed(scan(vec![id()], &[&again, &again]).1).message().contains("followed already"));
    let empty: Vec<_> = (0..1_002)
        .map(|n| {
            format!(
                r#"{{"totalSize":9,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/01g-{n}","records":[]}}"#
            )
        })
        .collect();
    let empty: Vec<_> = empty.iter().map(String::as_str).collect();
    assert!(failed(scan(vec![id()], &empty).1).message().contains("held no record"));
}

#[test]
fn an_answer_that_is_no_page_is_an_error_that_shows_its_beginning() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>login</html>",
        r#"{"totalSize":1,"done":true}"#,
        r#"{"totalSize":1,"done":true,"records":null}"#,
        r#"{"totalSize":1,"done":true,"records":{}}"#,
        r#"{"totalSize":1,"done":true,"records":[null]}"#,
        r#"{"totalSize":1,"done":true,"records":[[]]}"#,
        r#"{"totalSize":1,"done":true,"records":[{"Name":"a"}]}"#,
        r#"{"totalSize":1,"done":true,"records":[{"Id":"a"}"#,
        r#"{"totalSize":1,"done":true,"records":[{"Id":"a"}]}x"#,
        r#"{"totalSize":1,"done":true,"records":[{"Id":"a"}],"records":[]}"#,
        r#"{"done":true,"records":[{"Id":"a"}]}"#,
        r#"{"totalSize":1,"records":[{"Id":"a"}]}"#,
        r#"{"totalSize":0,"done":true,"records":[{"Id":"a"}]}"#,
        r#"{"totalSize":-1,"done":true,"records":[]}"#,
        r#"{"totalSize":2,"done":false,"records":[{"Id":"a"}]}"#,
        r#"{"totalSize":2,"done":true,"nextRecordsUrl":"/services/data/v62.0/query/1","records":[{"Id":"a"}]}"#,
    ] {
        let error = failed(scan(vec![id()], &[body]).1);
        assert_eq!(error.kind(), Kind::Unreadable, "{body}");
        assert!(error.message().contains("a page of records"), "{body}");
        assert!(error.detail_text().unwrap().starts_with("The answer "), "{body}");
    }
    let error = failed(scan(vec![id()], &[&format!("\u{1b}[2J{}", "x".repeat(500))]).1);
    let detail = error.detail_text().unwrap();
    assert!(detail.contains(r"\u{1b}[2Jxxx") && detail.len() < 260);
    let error = failed(scan(vec![id()], &[r#"{"totalSize":1,"done":true,"records":[{"Name":"a"}]}"#]).1);
    assert!(error.message().contains("no field `Id`"), "{error}");
}

#[test]
fn a_field_that_is_always_text_is_never_anything_else() {
    let error = cell(&id(), "5").unwrap_err();
    assert_eq!((error.kind(), error.column_name()), (Kind::Unreadable, Some("Id")));
}

#[test]
fn fields_come_in_any_order_and_case_and_into_several_columns() {
    let body = r#"{"totalSize":2,"done":true,"records":[
        {"Name":"n","Extra":{"a":[1,{"Id":2}]},"Id":"a","N":1},{"Id":"b","Name":null,"N":2.50}]}"#;
    let (_, pages) = scan(vec![text("id"), text("Name"), double("N"), field("n", "double", Type::Text)], &[body]);
    let page = pages.unwrap().remove(0);
    assert_eq!(*page.record(0), [Value::text("a"), Value::text("n"), decimal("1"), Value::text("1")]);
    assert_eq!(*page.record(1), [Value::text("b"), Value::Null, decimal("2.50"), Value::text("2.50")]);
}

#[test]
fn cells_are_read_as_their_type() {
    let boolean = field("F", "boolean", Type::Bool);
    let json = field("F", "address", Type::Json);
    let list = field("F", "multipicklist", Type::TextList);
    let untyped = field("F", "", Type::Text);
    for (field, raw, value) in [
        (text("F"), r#""a\"b\\c\u00e9\n😀""#, Value::text("a\"b\\cé\n😀")),
        (text("F"), r#""\ud83d\ude00""#, Value::text("😀")),
        (text("F"), r#""""#, Value::text("")),
        (untyped.clone(), "1.50", Value::text("1.50")),
        (untyped.clone(), "true", Value::text("true")),
        (untyped.clone(), r#"{"a": [1]}"#, Value::text(r#"{"a": [1]}"#)),
        (text("F"), "null", Value::Null),
        (boolean.clone(), "true", Value::Bool(true)),
        (boolean, "null", Value::Bool(false)),
        (field("F", "", Type::Bool), "null", Value::Null),
        (int("F"), "5", Value::Int(5)),
        (int("F"), "-5.0", Value::Int(-5)),
        (int("F"), "1.0E2", Value::Int(100)),
        (int("F"), "9223372036854775807", Value::Int(i64::MAX)),
        (int("F"), "-9.223372036854775808E18", Value::Int(i64::MIN)),
        (double("F"), "1.0E8", decimal("1.0E8")),
        (double("F"), "0.1000000000000000055511151231257827", decimal("0.1000000000000000055511151231257827")),
        (double("F"), "-0", decimal("-0")),
        (field("F", "double", Type::Float), "1.5e3", Value::Float(1500.0)),
        (field("F", "date", Type::Date), r#""1970-01-02""#, Value::Date(1)),
        (field("F", "datetime", Type::Instant), r#""1970-01-01T00:00:00.001+0000""#, Value::Instant(1_000)),
        (field("F", "time", Type::Time), r#""00:00:01.000Z""#, Value::Time(1_000_000)),
        (json.clone(), r#"{"city":"SF", "n":1.0}"#, Value::Json(r#"{"city":"SF", "n":1.0}"#.into())),
        (json.clone(), r#""a\\u0000""#, Value::Json(r#""a\\u0000""#.into())),
        (json, "null", Value::Null),
        (list, r#""A;B C;\u0044""#, Value::List(["A", "B C", "D"].map(Value::text).into())),
    ] {
        assert_eq!(cell(&field, raw).unwrap(), value, "{raw} as {:?}", field.ty);
    }
}

#[test]
fn a_cell_of_another_type_is_an_error_that_names_its_column() {
    let json = field("F", "address", Type::Json);
    for (field, raw, kind) in [
        (int("F"), "5.5", Kind::Malformed),
        (int("F"), r#""5""#, Kind::Malformed),
        (int("F"), "9223372036854775808", Kind::OutOfRange),
        (int("F"), "1e400", Kind::OutOfRange),
        (int("F"), "1e99999999999999999999", Kind::OutOfRange),
        (double("F"), r#""1""#, Kind::Malformed),
        (field("F", "double", Type::Float), "1e400", Kind::OutOfRange),
        (double("F"), "true", Kind::Malformed),
        (field("F", "boolean", Type::Bool), "1", Kind::Malformed),
        (field("F", "date", Type::Date), r#""31/05/2024""#, Kind::Malformed),
        (field("F", "date", Type::Date), "20240531", Kind::Malformed),
        (field("F", "datetime", Type::Instant), r#""2024-05-31""#, Kind::Malformed),
        (field("F", "time", Type::Time), r#""noon""#, Kind::Malformed),
        (field("F", "multipicklist", Type::TextList), r#"["A"]"#, Kind::Malformed),
        (field("F", "base64", Type::Bytes), r#""/x""#, Kind::Malformed),
        (text("F"), r#""\ud83d""#, Kind::Malformed),
        (text("F"), r#""a\u0000b""#, Kind::NotStorable),
        (json.clone(), r#"{"a":"\u0000"}"#, Kind::NotStorable),
        (json, r#"{"a":"\\\u0000"}"#, Kind::NotStorable),
    ] {
        let error = cell(&field, raw).unwrap_err();
        assert_eq!((error.kind(), error.column_name()), (kind, Some("F")), "{raw} as {:?}", field.ty);
        assert!(error.message().contains("field F"), "{error}");
    }
}

/// Reads a page as it is and with white space after the first comma, which only the long way takes: they say the same.
fn both_ways(fields: &[Field], body: &str) -> Result<Vec<Record>> {
    let records = |body: &str| {
        let (_, pages) = scan(fields.to_vec(), &[body]);
        pages.map(|pages| (0..pages[0].rows()).map(|at| pages[0].record(at)).collect::<Vec<_>>())
    };
    let (short, long) = (records(body), records(&body.replacen(',', ", ", 1)));
    match (&short, &long) {
        (Ok(short), Ok(long)) => assert_eq!(short, long, "{body}"),
        (Err(short), Err(long)) => {
            assert_eq!((short.kind(), short.column_name()), (long.kind(), long.column_name()), "{body}");
        }
        _ => panic!("{body}: {short:?} one way, {long:?} the other"),
    }
    short
}

#[test]
fn the_short_way_and_the_long_way_read_the_same() {
    let fields = [
        text("T"),
        int("I"),
        double("N"),
        field("B", "boolean", Type::Bool),
        field("D", "date", Type::Date),
        field("S", "datetime", Type::Instant),
        field("J", "address", Type::Json),
    ];
    let keys = ["T", "I", "N", "B", "D", "S", "J"];
    let good = [r#""x""#, "1", "1.50", "true", r#""2024-02-29""#, r#""2024-02-29T12:34:56.789+0000""#, r#"{"a":[1]}"#];
    let others = [
        "null",
        "true",
        "false",
        "",
        "nul",
        "tru",
        "0",
        "-0",
        "-0.0",
        "0.00",
        "00",
        "01",
        "-",
        "1.",
        ".5",
        "+1",
        "1e2",
        "1.0E8",
        "1.5x",
        "-12.340",
        "999999999999999999",
        "9999999999999999999",
        "0.1234567890123456789",
        "5.0",
        r#""""#,
        r#"""#,
        r#""a"b""#,
        r#""a\"b""#,
        r#""\""#,
        r#""\u00e9""#,
        r#""\ud83d""#,
        "\"\u{1}\"",
        "\"é😀\"",
        r#""2023-02-29""#,
        r#""2024-2-9""#,
        r#""2024-02-29T12:34:56Z""#,
        r#""2024-02-29T12:34:60.000Z""#,
        r#"{"a":1"#,
        r#"[1,2]"#,
        "{}",
        "[",
        " 1",
        "1 ",
        "1,",
        "1}",
        "\"long text of more than one word, with ünïcödé\"",
    ];
    let page = |values: &[&str]| {
        let cells: Vec<_> = keys.iter().zip(values).map(|(key, value)| format!(r#""{key}":{value}"#)).collect();
        let attributes = r#""attributes":{"type":"X","url":"/x"}"#;
        let record = format!("{{{attributes},{}}}", cells.join(","));
        format!(r#"{{"totalSize":2,"done":true,"records":[{record},{record}]}}"#)
    };
    assert_eq!(both_ways(&fields, &page(&good)).unwrap().len(), 2);
    for at in 0..keys.len() {
        for other in others {
            let mut values = good;
            values[at] = other;
            let _ = both_ways(&fields, &page(&values));
        }
    }
}

#[test]
fn records_of_another_make_are_read_the_long_way_or_refused() {
    let fields = [text("A"), text("B")];
    let page = |record: &str| format!(r#"{{"totalSize":1,"done":true,"records":[{record}]}}"#);
    let expected = [Value::text("a"), Value::text("b")];
    for record in [
        r#"{"A":"a","B":"b"}"#,
        r#"{"a":"a","b":"b"}"#,
        r#"{"B":"b","A":"a"}"#,
        r#"{"A":"x","A":"a","B":"b"}"#,
        r#"{"A":"a","B":"x","b":"b"}"#,
        r#"{"A":"a","C":{"A":"x","B":[{"A":1}]},"B":"b","D":1.5e3}"#,
        r#"{"attributes":{"type":"X","url":"/x","n":[1,null]},"A":"a","B":"b"}"#,
        r#"{"\u0041":"a","B":"b"}"#,
    ] {
        assert_eq!(*both_ways(&fields, &page(record)).unwrap()[0], expected, "{record}");
    }
    for record in [
        r#"{"A":"a"}"#,
        "{}",
        r#"{"A":"a","B":"b",}"#,
        r#"{"A":"a" "B":"b"}"#,
        r#"{"A":"a","B":"b"}}"#,
        r#"{"A":"a","B":"b"},"#,
        r#"{"A":"a","B":"b""#,
        r#"{"A":"a","B":"b","C":}"#,
        r#"{"A":"a","B":"b","C":{"D":"x}}"#,
        r#"{"A":"a","B":"b","C":tru}"#,
        r#"{"A":"a","B":"b","C"}"#,
    ] {
        assert!(both_ways(&fields, &page(record)).is_err(), "{record}");
    }
}

#[test]
fn records_whose_attributes_differ_are_read_alike() {
    let fields = [text("A")];
    let page = |attributes: &[&str]| {
        let records: Vec<_> =
            attributes.iter().map(|attributes| format!(r#"{{"attributes":{attributes},"A":"a"}}"#)).collect();
        format!(r#"{{"totalSize":{},"done":true,"records":[{}]}}"#, records.len(), records.join(","))
    };
    let usual = r#"{"type":"X","url":"/x"}"#;
    for other in [
        r#"{"type":"X","url":"/some/other"}"#,
        r#"{"type":"Y","url":"/x"}"#,
        r#"{"type":"X"}"#,
        r#"{"type":"X","url":"/x","more":"m"}"#,
        r#"{"type":"X","url":"/\u0078"}"#,
        r#"{"type":"X","url":null}"#,
        r#"{"type":"X","url":{"A":"x"}}"#,
        "{}",
        "null",
        r#""A""#,
    ] {
        let records = both_ways(&fields, &page(&[usual, other, usual, other, other, usual])).unwrap();
        assert_eq!(records.len(), 6, "{other}");
        assert!(records.iter().all(|record| **record == [Value::text("a")]), "{other}");
    }
    for broken in [r#"{"type":"X","url":"/x"#, r#"{"type":"X","url":"/x","}"#, r#"{"type":"X","url":"/x"]"#, "{"] {
        assert!(both_ways(&fields, &page(&[usual, broken, usual])).is_err(), "{broken}");
    }
}

#[test]
fn texts_of_every_length_end_where_they_end() {
    let fields = [text("A"), text("B")];
    let page =
        |one: &str, other: &str| format!(r#"{{"totalSize":1,"done":true,"records":[{{"A":"{one}","B":"{other}"}}]}}"#);
    for letter in ["x", "é", "😀", "\u{7f}", "!", "#", "[", "]"] {
        for length in 0..40 {
            let plain = letter.repeat(length);
            let read = both_ways(&fields, &page(&plain, letter)).unwrap();
            assert_eq!(*read[0], [Value::text(&*plain), Value::text(letter)]);
            let read = both_ways(&fields, &page(&format!(r#"{plain}\"{plain}"#), letter)).unwrap();
            assert_eq!(*read[0], [Value::text(format!("{plain}\"{plain}")), Value::text(letter)]);
            for control in ["\0", "\n", "\u{1f}"] {
                assert!(both_ways(&fields, &page(&format!("{plain}{control}{plain}"), letter)).is_err());
            }
        }
    }
}

#[test]
fn a_page_cut_anywhere_is_no_page() {
    let body = answer(r#""done":false,"nextRecordsUrl":"/services/data/v62.0/query/01g-1""#);
    for end in 0..body.len() {
        let error = failed(scan(vec![id()], &[&body[..end], &answer(r#""done":true"#)]).1);
        assert_eq!(error.kind(), Kind::Unreadable, "{end}");
    }
}

#[test]
fn a_page_that_links_to_two_others_is_an_error() {
    let link = |at: u32| format!(r#""nextRecordsUrl":"/services/data/v62.0/query/01g-{at}""#);
    let body = format!(r#"{{"totalSize":9,"done":false,{},"records":[{{"Id":"a"}}],{}}}"#, link(1), link(2));
    let error = failed(scan(vec![id()], &[&body, &answer(r#""done":true"#)]).1);
    assert_eq!(error.kind(), Kind::Unreadable);
}

/// `cargo test --release -- --ignored --nocapture a_million_cells`
#[test]
#[ignore = "a measurement"]
fn a_million_cells_are_read_in_a_fraction_of_a_second() {
    let fields: Vec<_> =
        (0..10).map(|n| if n % 2 == 0 { text(&format!("Text_{n}")) } else { double(&format!("Number_{n}")) }).collect();
    let record = (0..10)
        .map(|n| if n % 2 == 0 { format!(r#""Text_{n}":"some text {n}""#) } else { format!(r#""Number_{n}":{n}.50"#) })
        .collect::<Vec<_>>()
        .join(",");
    let records = vec![format!(r#"{{"attributes":{{"type":"X","url":"/x"}},{record}}}"#); 2_000].join(",");
    let body = format!(r#"{{"totalSize":2000,"done":true,"records":[{records}]}}"#);
    let start = std::time::Instant::now();
    for _ in 0..50 {
        let page = super::super::compact::page(body.as_bytes(), &fields, Vec::new()).unwrap();
        assert_eq!(page.table.rows, 2_000);
    }
    println!("{:?} for {} MB", start.elapsed(), 50 * body.len() / 1_000_000);
}
