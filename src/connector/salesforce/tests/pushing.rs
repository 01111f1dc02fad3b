//! What of a filter goes to the API.

use super::super::support::{access, leaf};
use super::*;
use crate::query::ask::{Access, Ask};
use crate::query::push::Support;
use Comparison::*;

fn support(predicate: &Predicate) -> Support {
    leaf(&object(vec![]), predicate)
}

fn accessed(clauses: Vec<Predicate>) -> Access {
    access(&object(vec![]), &Ask { fields: vec![id()], clauses, order: Vec::new(), grouping: None }, 2_000)
}

fn any_of(field: &Field) -> Predicate {
    Predicate::In { field: field.clone(), list: Operand::Arg(0), negated: false }
}

#[test]
fn each_kind_of_field_is_pushed_as_far_as_the_api_agrees_with_postgres() {
    use Support::*;
    let id_value = || Value::text("001000000000001AAA");
    let opaque = |remote_type| field("F", remote_type, Type::Text);
    for (field, value, equal, different, order) in [
        (id(), id_value(), Exact, Exact, Unsupported),
        (field("F", "reference", Type::Text), id_value(), Exact, Exact, Unsupported),
        (field("F", "boolean", Type::Bool), Value::Bool(true), Exact, Exact, Unsupported),
        (int("F"), Value::Int(1), Exact, Exact, Exact),
        (int("F"), decimal("1.5"), Exact, Exact, Exact),
        (field("F", "long", Type::Int), Value::Int(1), Exact, Exact, Exact),
        (double("F"), decimal("1.5"), Exact, Exact, Exact),
        (field("F", "currency", Type::Decimal), Value::Int(1), Exact, Exact, Exact),
        (field("F", "percent", Type::Decimal), decimal("1"), Exact, Exact, Exact),
        (field("F", "date", Type::Date), Value::Date(0), Exact, Exact, Exact),
        (field("F", "datetime", Type::Instant), Value::Instant(0), Exact, Exact, Exact),
        (field("F", "time", Type::Time), Value::Time(0), Exact, Exact, Exact),
        (text("F"), Value::text("a"), Superset, Unsupported, Unsupported),
        (opaque("picklist"), Value::text("a"), Superset, Unsupported, Unsupported),
        (opaque("encryptedstring"), Value::text("a"), Unsupported, Unsupported, Unsupported),
        (opaque("multipicklist"), Value::text("a"), Unsupported, Unsupported, Unsupported),
        // The operand, or the column, is of another type than the field.
        (double("F"), Value::text("1"), Unsupported, Unsupported, Unsupported),
        (double("F"), Value::Float(1.0), Unsupported, Unsupported, Unsupported),
        (opaque("double"), Value::text("1"), Unsupported, Unsupported, Unsupported),
        (field("F", "datetime", Type::Instant), Value::Date(0), Unsupported, Unsupported, Unsupported),
        // Nothing is known of the field.
        (opaque(""), Value::text("a"), Unsupported, Unsupported, Unsupported),
    ] {
        let found = [Eq, Ne, Lt].map(|op| support(&compare(&field, op, value.clone())));
        assert_eq!(found, [equal, different, order], "{field:?}");
        let lists = [false, true].map(|negated| support(&is_in(&field, vec![value.clone()], negated)));
        assert_eq!(lists, [equal, different], "{field:?}");
    }
}

#[test]
fn whether_a_field_is_null_can_be_asked_wherever_it_can_be_filtered() {
    let null = |field| support(&Predicate::IsNull { field, negated: false });
    assert_eq!(null(text("F")), Support::Exact);
    assert_eq!(null(field("F", "multipicklist", Type::TextList)), Support::Exact);
    assert_eq!(null(field("F", "boolean", Type::Bool)), Support::Exact);
    assert_eq!(null(field("F", "address", Type::Json)), Support::Unsupported);
    let mut hidden = text("F");
    hidden.capabilities.filter = false;
    assert_eq!(null(hidden), Support::Unsupported);
}

#[test]
fn money_is_not_compared_where_there_are_several_currencies() {
    let amount = field("Amount", "currency", Type::Decimal);
    let several = object(vec![text("CurrencyIsoCode")]);
    assert_eq!(leaf(&several, &compare(&amount, Gt, Value::Int(1))), Support::Unsupported);
    assert_eq!(leaf(&several, &compare(&double("F"), Gt, Value::Int(1))), Support::Exact);
    let null = Predicate::IsNull { field: amount, negated: true };
    assert_eq!(leaf(&several, &null), Support::Exact);
}

#[test]
fn limit_is_declined_only_where_a_list_may_have_to_be_split() {
    let ids = |count| is_in(&id(), (0..count).map(|n| Value::text(an_id(n))).collect(), false);
    assert!(accessed(vec![]).limit);
    assert!(accessed(vec![ids(100)]).limit);
    assert!(!accessed(vec![ids(101)]).limit);
    assert!(!accessed(vec![any_of(&id())]).limit);
    assert!(!accessed(vec![Predicate::Or(vec![any_of(&id()), ids(1)])]).limit);
}

#[test]
fn of_several_long_lists_one_is_exact_and_the_others_may_be_left_out() {
    let access = accessed(vec![
        any_of(&text("Name")),
        any_of(&int("A")),
        any_of(&int("B")),
        Predicate::In { field: int("C"), list: Operand::Arg(0), negated: true },
        Predicate::Or(vec![any_of(&int("D")), compare(&int("E"), Eq, Value::Int(1))]),
        is_in(&int("F"), vec![Value::Int(1)], false),
    ]);
    let supports: Vec<_> = access.covers.iter().map(|(support, _)| *support).collect();
    use Support::*;
    assert_eq!(supports, [Superset, Exact, Superset, Superset, Superset, Exact]);
    assert_eq!(access.wire, serde_json::json!({ "split": "A" }));
}

#[test]
fn exact_conditions_that_would_not_fit_into_a_query_stay_here() {
    let branches = (0..2_000).map(|n| compare(&int("A"), Eq, Value::Int(n))).collect();
    let access = accessed(vec![Predicate::Or(branches), compare(&int("A"), Gt, Value::Int(0))]);
    assert_eq!(access.covers[0], (Support::Unsupported, Predicate::True));
    assert_eq!(access.covers[1].0, Support::Exact);
}

#[test]
fn a_wide_table_is_filtered_all_the_same() {
    let fields = (0..300).map(|n| text(&format!("Custom_Field_Number_{n}__c"))).collect();
    let ask = Ask { fields, clauses: vec![compare(&int("A"), Gt, Value::Int(0))], order: Vec::new(), grouping: None };
    assert_eq!(access(&object(vec![]), &ask, 2_000).covers[0].0, Support::Exact);
}

#[test]
fn patterns_are_asked_of_texts_and_choices_of_multi_selects() {
    let like = |field: &Field| support(&matches(field, Case::Kept, Form::Like, "a%"));
    assert_eq!(like(&text("F")), Support::Superset);
    assert_eq!(like(&field("F", "picklist", Type::Text)), Support::Superset);
    assert_eq!(like(&id()), Support::Unsupported);
    assert_eq!(like(&field("F", "encryptedstring", Type::Text)), Support::Unsupported);
    let mut hidden = text("F");
    hidden.capabilities.filter = false;
    assert_eq!(like(&hidden), Support::Unsupported);
    let mut exact = text("F");
    exact.capabilities.case = true;
    assert_eq!(like(&exact), Support::Superset);
    for case in [Case::Lower, Case::Upper] {
        assert_eq!(support(&matches(&exact, case, Form::Like, "a%")), Support::Unsupported);
        assert_eq!(support(&matches(&text("F"), case, Form::Like, "a%")), Support::Superset);
    }
    let holds = |field: Field| support(&Predicate::Holds { field, items: texts(&["a"]), all: true });
    assert_eq!(holds(choices()), Support::Superset);
    assert_eq!(holds(text("F")), Support::Unsupported);
    assert_eq!(holds(field("F", "string", Type::TextList)), Support::Unsupported);
}

#[test]
fn what_a_case_ignoring_api_would_lose_is_not_asked() {
    let distinct = |field: &Field, negated| {
        support(&Predicate::Distinct { field: field.clone(), operand: Operand::Arg(0), negated })
    };
    assert_eq!((distinct(&text("F"), false), distinct(&text("F"), true)), (Support::Unsupported, Support::Superset));
    assert_eq!((distinct(&int("F"), false), distinct(&id(), true)), (Support::Exact, Support::Exact));
    let like = matches(&text("F"), Case::Kept, Form::Like, "a%");
    let holds = Predicate::Holds { field: choices(), items: texts(&["a"]), all: false };
    let weaker = Predicate::Weaker(Box::new(compare(&int("F"), Gt, Value::Int(1))));
    for predicate in [like, holds, weaker] {
        assert_eq!(predicate.negate(), Predicate::Opaque);
    }
}

#[test]
fn a_weaker_condition_is_never_exact() {
    let weaker = Predicate::Weaker(Box::new(compare(&int("F"), Gt, Value::Int(1))));
    let both = Predicate::And(vec![weaker.clone(), compare(&int("G"), Gt, Value::Int(1))]);
    let covers = accessed(vec![weaker.clone(), both]).covers;
    assert_eq!(covers[0], (Support::Superset, weaker));
    assert_eq!(covers[1].0, Support::Superset);
}
