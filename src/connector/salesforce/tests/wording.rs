//! How reads are worded, and what is folded instead.

use proptest::prelude::*;

use super::super::family::family;
use super::super::literal::{Literal, is_canonical_id, literal, quote};
use super::super::soql::{Condition, condition, explain};
use super::*;
use crate::connector::contract::Connector;
use crate::query::ask::{BoundRead, Read};
use crate::value::{parse_date, parse_instant};
use Comparison::*;

fn worded(predicate: &Predicate) -> String {
    match condition(predicate).unwrap() {
        Condition::True => "everything".to_owned(),
        Condition::False => "nothing".to_owned(),
        other => other.to_string(),
    }
}

fn read(fields: Vec<Field>, filter: Predicate, limit: Option<u64>) -> Vec<String> {
    let read = BoundRead { limit, ..BoundRead::new("Contact", fields, filter, serde_json::Value::Null) };
    salesforce()
        .read(&read)
        .unwrap()
        .into_iter()
        .map(|job| {
            let (sent, _) = play(job, &[r#"{"totalSize":0,"done":true,"records":[]}"#]);
            soql(&sent[0].path)
        })
        .collect()
}

#[test]
fn a_read_is_worded_with_its_fields_filter_and_limit() {
    let account = field("AccountId", "reference", Type::Text);
    let filter = Predicate::And(vec![
        compare(&account, Eq, Value::text("001000000000001AAA")),
        Predicate::Or(vec![
            compare(&int("A"), Eq, Value::Int(1)),
            Predicate::IsNull { field: text("B"), negated: true },
        ]),
    ]);
    assert_eq!(
        read(vec![id(), text("Name")], filter, Some(100)),
        ["SELECT Id, Name FROM Contact WHERE AccountId = '001000000000001AAA' AND (A = 1 OR B != null) LIMIT 100"]
    );
    assert_eq!(read(vec![], Predicate::True, None), ["SELECT Id FROM Contact"]);
    // SOQL refuses to select a field twice.
    assert_eq!(read(vec![id(), text("ID")], Predicate::True, None), ["SELECT Id FROM Contact"]);
}

#[test]
fn every_kind_of_comparison_has_its_wording() {
    let boolean = field("F", "boolean", Type::Bool);
    let day = |text: &str| Value::Date(parse_date(text).unwrap());
    let instant = |text: &str| Value::Instant(parse_instant(text).unwrap());
    for (predicate, expected) in [
        (compare(&text("F"), Eq, Value::text("O'Neil \\ Sons")), r"F = 'O\'Neil \\ Sons'"),
        (compare(&text("F"), Eq, Value::text("a\n\r\t\u{8}\u{c}\u{1}\u{85}é")), r"F = 'a\n\r\t\b\f\u0001\u0085é'"),
        (compare(&int("F"), Ne, Value::Int(1)), "(F != 1 AND F != null)"),
        (compare(&double("F"), Lt, decimal("1E+3")), "F < 1000"),
        (compare(&double("F"), Ge, decimal("-0.5e-7")), "F >= -0.00000005"),
        (compare(&boolean, Eq, Value::Bool(true)), "F = TRUE"),
        (compare(&boolean, Ne, Value::Bool(false)), "F != FALSE"),
        (compare(&field("F", "date", Type::Date), Gt, day("2024-02-29")), "F > 2024-02-29"),
        (
            compare(&field("F", "datetime", Type::Instant), Le, instant("2024-02-29T23:59:59.5+02:00")),
            "F <= 2024-02-29T21:59:59.500Z",
        ),
        (compare(&field("F", "time", Type::Time), Eq, Value::Time(48_600_250_000)), "F = 13:30:00.250Z"),
        (is_in(&int("F"), vec![Value::Int(1), Value::Int(2)], false), "F IN (1,2)"),
        (is_in(&int("F"), vec![Value::Int(1)], true), "(F NOT IN (1) AND F != null)"),
        (Predicate::IsNull { field: text("F"), negated: false }, "F = null"),
        (Predicate::IsNull { field: boolean.clone(), negated: false }, "nothing"),
        (Predicate::IsNull { field: boolean, negated: true }, "everything"),
        (compare(&int("F"), Eq, Value::Null), "nothing"),
    ] {
        assert_eq!(worded(&predicate), expected);
    }
}

#[test]
fn nested_conditions_always_stand_in_parentheses() {
    let one = |name: &str| compare(&int(name), Eq, Value::Int(1));
    let predicate =
        Predicate::Or(vec![Predicate::And(vec![one("A"), Predicate::Or(vec![one("B"), one("C")])]), one("D")]);
    assert_eq!(worded(&predicate), "(A = 1 AND (B = 1 OR C = 1)) OR D = 1");
    let [query] = read(vec![id()], predicate, None).try_into().unwrap();
    assert_eq!(query, "SELECT Id FROM Contact WHERE (A = 1 AND (B = 1 OR C = 1)) OR D = 1");
}

#[test]
fn ids_are_asked_for_only_in_their_canonical_spelling() {
    for (good, spelling) in [
        (true, "0015000000Gv7qJAAR"),
        (true, "003RO0000035WQgYAM"),
        (false, "0015000000Gv7qJ"),
        (false, "0015000000Gv7qJaar"),
        (false, "0015000000Gv7qJAAS"),
        (false, "0015000000gv7qJAAR"),
        (false, "0015000000Gv7qJAA'"),
        (false, "0015000000Gv7qéAAR"),
        (false, ""),
    ] {
        assert_eq!(is_canonical_id(spelling), good, "{spelling}");
        let equal = worded(&compare(&id(), Eq, Value::text(spelling)));
        assert_eq!(equal, if good { format!("Id = '{spelling}'") } else { "nothing".to_owned() });
    }
    assert_eq!(worded(&compare(&id(), Ne, Value::text("rubbish"))), "Id != null");
}

#[test]
fn values_that_no_cell_can_have_are_folded() {
    let instant = field("F", "datetime", Type::Instant);
    let time = field("F", "time", Type::Time);
    let date = field("F", "date", Type::Date);
    let day = |text: &str| Value::Date(parse_date(text).unwrap());
    let at = |text: &str| Value::Instant(parse_instant(text).unwrap());
    let full_day = Value::Time(86_400_000_000);
    for (predicate, expected) in [
        (compare(&text("F"), Eq, Value::text("")), "nothing"),
        (compare(&text("F"), Eq, Value::text("a\0b")), "nothing"),
        (compare(&text("F"), Eq, Value::text("x".repeat(4_001))), "nothing"),
        (compare(&double("F"), Lt, decimal("NaN")), "F != null"),
        (compare(&double("F"), Eq, decimal("NaN")), "nothing"),
        (compare(&double("F"), Ne, decimal("Infinity")), "F != null"),
        (compare(&double("F"), Ge, decimal("-Infinity")), "F != null"),
        (compare(&double("F"), Le, decimal("-Infinity")), "nothing"),
        (compare(&double("F"), Gt, decimal("1e999999999")), "nothing"),
        (compare(&double("F"), Gt, decimal("1e-999999999")), "F > 0"),
        (compare(&int("F"), Eq, decimal("5.5")), "nothing"),
        (compare(&int("F"), Ne, decimal("5.5")), "F != null"),
        (compare(&int("F"), Lt, decimal("5.5")), "F <= 5"),
        (compare(&int("F"), Ge, decimal("-5.5")), "F > -6"),
        (compare(&int("F"), Eq, decimal("5.0")), "F = 5"),
        (compare(&int("F"), Lt, Value::Int(i64::MAX)), "F != null"),
        (compare(&int("F"), Gt, decimal("2147483647.5")), "nothing"),
        (compare(&int("F"), Ge, decimal("-2147483648.5")), "F != null"),
        (compare(&date, Eq, day("1699-12-31")), "nothing"),
        (compare(&date, Ge, day("1699-12-31")), "F != null"),
        (compare(&date, Ge, day("1700-01-01")), "F >= 1700-01-01"),
        (compare(&date, Le, day("4000-12-31")), "F <= 4000-12-31"),
        (compare(&date, Lt, day("4001-01-01")), "F != null"),
        (compare(&date, Lt, Value::Date(i32::MAX)), "F != null"),
        (compare(&date, Gt, Value::Date(i32::MIN)), "F != null"),
        (compare(&instant, Gt, Value::Instant(i64::MAX)), "nothing"),
        (compare(&instant, Gt, Value::Instant(i64::MIN)), "F != null"),
        (compare(&instant, Lt, at("4001-01-01T00:00:00Z")), "F != null"),
        (compare(&instant, Ge, at("1699-12-31T23:59:59.999999Z")), "F != null"),
        (compare(&instant, Lt, at("2024-01-01T00:00:00.000001Z")), "F <= 2024-01-01T00:00:00.000Z"),
        (compare(&instant, Eq, at("2024-01-01T00:00:00.000001Z")), "nothing"),
        (compare(&instant, Ne, at("2024-01-01T00:00:00.000001Z")), "F != null"),
        (compare(&time, Lt, full_day.clone()), "F != null"),
        (compare(&time, Eq, full_day), "nothing"),
        (is_in(&int("F"), vec![decimal("1.5"), Value::Int(2), decimal("2.0"), Value::Null], false), "F IN (2)"),
        (is_in(&int("F"), vec![decimal("1.5")], false), "nothing"),
        (is_in(&int("F"), vec![decimal("1.5")], true), "F != null"),
        (is_in(&int("F"), vec![Value::Int(1), Value::Null], true), "nothing"),
    ] {
        assert_eq!(worded(&predicate), expected);
    }
}

#[test]
fn patterns_become_the_ones_of_soql() {
    use Case::{Kept, Lower, Upper};
    use Form::{Like, Prefix, Whole};
    for (case, form, pattern, expected) in [
        (Kept, Like, "a%b_c", "F LIKE 'a%b_c'"),
        (Kept, Like, r"100\%\_\\x%", r"F LIKE '100\%\_\\x%'"),
        (Kept, Like, "O'Brien\n%", r"F LIKE 'O\'Brien\n%'"),
        (Kept, Prefix, "50%_\\", r"F LIKE '50\%\_\\%'"),
        (Kept, Like, "plain", "F = 'plain'"),
        (Kept, Like, "%%", "F != null"),
        (Kept, Prefix, "", "F != null"),
        (Kept, Like, "", "nothing"),
        // Postgres says what is wrong with it.
        (Kept, Like, "a\\", "everything"),
        (Kept, Like, "\0%", "nothing"),
        (Lower, Like, "%Smith%", "F LIKE '%Sm%th%'"),
        (Lower, Whole, "ada@example.com", "F = 'ada@example.com'"),
        (Lower, Whole, "kim", "F LIKE '%m'"),
        (Lower, Whole, "ñandú", "F LIKE '%and%'"),
        (Lower, Like, "a_b", "F LIKE 'a%b'"),
        (Upper, Whole, "ACME_100%", "F = 'ACME_100%'"),
        (Upper, Like, "%X%", "F LIKE '%X%'"),
        (Upper, Whole, "", "nothing"),
    ] {
        assert_eq!(worded(&matches(&text("F"), case, form, pattern)), expected, "{pattern:?}");
    }
    let long = "x".repeat(4_000);
    assert_eq!(worded(&matches(&text("F"), Kept, Prefix, &long)), "everything");
    assert_eq!(worded(&matches(&text("F"), Kept, Whole, &long)), format!("F = '{long}'"));
}

#[test]
fn several_patterns_are_one_condition() {
    let any = |form, list: &[&str]| Predicate::Text { field: text("F"), case: Case::Lower, form, pattern: texts(list) };
    assert_eq!(worded(&any(Form::Whole, &["a", "b", "a"])), "F IN ('a','b')");
    assert_eq!(worded(&any(Form::Like, &["a%", "b", "x", "c%"])), "F LIKE 'a%' OR F LIKE 'c%' OR F IN ('b','x')");
    assert_eq!(worded(&any(Form::Like, &["a%", "%"])), "F LIKE 'a%' OR F != null");
    assert_eq!(worded(&any(Form::Like, &["a%", "ends\\"])), "everything");
    assert_eq!(worded(&any(Form::Like, &[])), "nothing");
}

#[test]
fn choices_of_a_multi_select_are_included() {
    let holds = |all, items| worded(&Predicate::Holds { field: choices(), items, all });
    assert_eq!(holds(true, texts(&["a", "b's"])), r"F INCLUDES ('a;b\'s')");
    assert_eq!(holds(false, texts(&["a", "b;c", "", "d"])), "F INCLUDES ('a','d')");
    assert_eq!(holds(true, texts(&["a", "b;c"])), "nothing");
    assert_eq!(holds(false, texts(&["b;c", ""])), "nothing");
    assert_eq!((holds(true, texts(&[])), holds(false, texts(&[]))), ("F != null".to_owned(), "nothing".to_owned()));
    assert_eq!(holds(false, Operand::Value(Value::text("a"))), "F INCLUDES ('a')");
    let null = || Operand::Value(Value::List(Box::new([Value::text("a"), Value::Null])));
    assert_eq!((holds(true, null()), holds(false, null())), ("nothing".to_owned(), "F INCLUDES ('a')".to_owned()));
    assert_eq!(holds(true, Operand::Value(Value::Null)), "nothing");
    let long = "x".repeat(3_000);
    assert_eq!(holds(true, texts(&[&long, &long])), "everything");
}

#[test]
fn what_is_distinct_is_null_too() {
    let distinct =
        |field: Field, value, negated| worded(&Predicate::Distinct { field, operand: Operand::Value(value), negated });
    assert_eq!(distinct(int("F"), Value::Int(1), false), "(F != 1 AND F != null) OR F = null");
    assert_eq!(distinct(int("F"), Value::Int(1), true), "F = 1");
    assert_eq!(distinct(int("F"), Value::Null, false), "F != null");
    assert_eq!(distinct(int("F"), Value::Null, true), "F = null");
    assert_eq!(distinct(id(), Value::text("rubbish"), true), "nothing");
    assert_eq!(distinct(id(), Value::text("rubbish"), false), "Id != null OR Id = null");
    let flag = || field("F", "boolean", Type::Bool);
    assert_eq!(distinct(flag(), Value::Bool(true), false), "F != TRUE");
    assert_eq!(distinct(flag(), Value::Null, true), "nothing");
}

#[test]
fn a_read_that_can_find_nothing_asks_nothing() {
    assert!(read(vec![id()], compare(&id(), Eq, Value::text("x")), None).is_empty());
}

#[test]
fn names_that_are_none_never_reach_the_query() {
    for name in ["Id FROM User", "", "1st", "a..b", ".b", "Näme"] {
        let read = BoundRead::new("Contact", vec![text(name)], Predicate::True, serde_json::Value::Null);
        assert_eq!(failed(salesforce().read(&read)).kind(), crate::error::Kind::UnknownField);
        let read = BoundRead { object: name.to_owned(), fields: vec![], ..read };
        assert_eq!(failed(salesforce().read(&read)).kind(), crate::error::Kind::UnknownObject);
    }
}

#[test]
fn explain_shows_parameters_and_what_constants_fold_to() {
    let read = |filter, limit| Read {
        object: "Contact".to_owned(),
        fields: vec![id()],
        filter,
        order: Vec::new(),
        grouping: None,
        limit,
        offset: None,
        expected: None,
        wire: serde_json::Value::Null,
    };
    let argument = |field: &Field, op, at| Predicate::Compare { field: field.clone(), op, operand: Operand::Arg(at) };
    let list = Predicate::In { field: id(), list: Operand::Arg(1), negated: false };
    assert_eq!(
        explain(&read(
            vec![
                argument(&int("A"), Ne, 0),
                list,
                compare(&int("B"), Lt, decimal("2.5")),
                Predicate::Or(vec![
                    Predicate::Known { operand: Operand::Arg(2), negated: true },
                    argument(&int("A"), Gt, 0)
                ]),
            ],
            Some(Operand::Arg(3))
        )),
        "SELECT Id FROM Contact WHERE (A != $1 AND A != null) AND Id IN $2 AND B <= 2 AND ((NOT $3) OR A > $1) LIMIT $4"
    );
    let nothing = compare(&id(), Eq, Value::text("x"));
    assert_eq!(explain(&read(vec![nothing], None)), "nothing: no record can match");
    assert_eq!(explain(&read(vec![], Some(Operand::Value(Value::Int(7))))), "SELECT Id FROM Contact LIMIT 7");
}

/// Reads a SOQL string literal as its documentation says.
fn unquote(quoted: &str) -> Option<String> {
    let mut letters = quoted.strip_prefix('\'')?.strip_suffix('\'')?.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\'' => return None,
            '\\' => match letters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let code: String = letters.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
                }
                same @ ('\\' | '\'' | '"') => same,
                _ => return None,
            },
            plain if plain.is_control() => return None,
            plain => plain,
        });
    }
    Some(text)
}

/// Evaluates what a comparison of field `F` was worded as, on a cell.
fn holds<T: PartialOrd>(condition: &Condition, cell: Option<T>, parse: impl Fn(&str) -> T) -> bool {
    let text = match condition {
        Condition::True => return true,
        Condition::False => return false,
        other => other.to_string(),
    };
    text.trim_matches(['(', ')']).split(" AND ").all(|test| {
        let mut words = test.splitn(3, ' ');
        let (name, sign, operand) = (words.next(), words.next().unwrap(), words.next().unwrap());
        assert_eq!(name, Some("F"));
        let Some(cell) = &cell else { return sign == "!=" && operand != "null" };
        if operand == "null" {
            return sign == "!=";
        }
        let operand = parse(operand);
        match sign {
            "=" => *cell == operand,
            "!=" => *cell != operand,
            "<" => *cell < operand,
            "<=" => *cell <= operand,
            ">" => *cell > operand,
            ">=" => *cell >= operand,
            _ => panic!("{sign}"),
        }
    })
}

fn sql<T: PartialOrd>(op: Comparison, cell: &Option<T>, operand: &T) -> bool {
    cell.as_ref().is_some_and(|cell| match op {
        Eq => cell == operand,
        Ne => cell != operand,
        Lt => cell < operand,
        Le => cell <= operand,
        Gt => cell > operand,
        Ge => cell >= operand,
    })
}

fn operators() -> impl Strategy<Value = Comparison> {
    prop_oneof![Just(Eq), Just(Ne), Just(Lt), Just(Le), Just(Gt), Just(Ge)]
}

proptest! {
    #[test]
    fn any_string_survives_quoting(text in any::<String>()) {
        prop_assert_eq!(unquote(&quote(&text)).unwrap(), text);
    }

    #[test]
    fn control_characters_and_quotes_survive_quoting(text in "[\u{0}-\u{9f}'\\\\\"]{0,20}") {
        prop_assert_eq!(unquote(&quote(&text)).unwrap(), text);
    }

    #[test]
    fn int_fields_compare_with_decimals_as_postgres_does(
        op in operators(),
        cell in proptest::option::of(prop_oneof![-3i32..3, any::<i32>()]),
        tenths in prop_oneof![-40i64..40, any::<i32>().prop_map(|tenths| i64::from(tenths) * 20 - 5), any::<i64>()],
    ) {
        let condition = condition(&compare(&int("F"), op, decimal(&format!("{tenths}e-1")))).unwrap();
        let cell = cell.map(|cell| i128::from(cell) * 10);
        let found = holds(&condition, cell, |text| text.parse::<i128>().unwrap() * 10);
        prop_assert_eq!(found, sql(op, &cell, &i128::from(tenths)), "{:?}", condition);
    }

    #[test]
    fn instants_compare_with_microseconds_as_postgres_does(
        op in operators(),
        cell in proptest::option::of(-3i64..3),
        micros in prop_oneof![-4_000i64..4_000, any::<i64>()],
    ) {
        let condition = condition(&compare(&field("F", "datetime", Type::Instant), op, Value::Instant(micros))).unwrap();
        let cell = cell.map(|millis| millis * 1_000);
        let found = holds(&condition, cell, |text| parse_instant(text).unwrap());
        prop_assert_eq!(found, sql(op, &cell, &micros), "{:?}", condition);
    }

    #[test]
    fn numbers_compare_with_more_digits_than_the_api_has_as_postgres_does(
        op in operators(),
        cell in proptest::option::of(-3i128..3),
        places in prop_oneof![-30i128..30, any::<i64>().prop_map(i128::from)],
    ) {
        // Cells in units of the eighteenth place, the operand in tenths of it.
        let value = decimal(&format!("{places}e-19"));
        let condition = condition(&compare(&double("F"), op, value)).unwrap();
        let unit = |text: &str| {
            let (whole, places) = text.split_once('.').unwrap_or((text, ""));
            format!("{whole}{places:0<18}").parse::<i128>().unwrap() * 10
        };
        let found = holds(&condition, cell.map(|cell| cell * 10), unit);
        prop_assert_eq!(found, sql(op, &cell.map(|cell| cell * 10), &places), "{:?}", condition);
    }

    #[test]
    fn numbers_beyond_the_digits_of_the_api_are_above_or_below_all(units in 1i64..1_000_000, exponent in 18i32..300) {
        let field = double("F");
        let worded = |text: String| literal(&field, family(&field).unwrap(), &decimal(&text)).unwrap();
        prop_assert_eq!(worded(format!("{units}e{exponent}")), Literal::AboveAll);
        prop_assert_eq!(worded(format!("-{units}e{exponent}")), Literal::BelowAll);
    }

    #[test]
    fn numbers_are_worded_without_exponent(units in -999_999_999i64..1_000_000_000, exponent in -18i32..9) {
        let value = decimal(&format!("{units}e{exponent}"));
        let field = double("F");
        let Literal::Text(text) = literal(&field, family(&field).unwrap(), &value).unwrap() else {
            return Err(TestCaseError::fail("folded"));
        };
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)));
        prop_assert_eq!(text.parse::<f64>().unwrap(), format!("{units}e{exponent}").parse::<f64>().unwrap());
    }
}
