//! What operators and functions mean, by their OIDs.

use pgrx::pg_sys;

use super::datum;
use super::memory::{in_utf8, text_datum};
use crate::query::pattern::{Case, Form};
use crate::query::predicate::Comparison;
use crate::value::Value;

/// The comparison that an operator is for values of a type, if it is one of the type's default order and
/// tells values apart byte by byte: under a non-deterministic collation equal texts may differ.
pub fn comparison(operator: pg_sys::Oid, type_oid: pg_sys::Oid, collation: pg_sys::Oid) -> Option<Comparison> {
    // SAFETY: a look-up in the type cache, which outlives the statement.
    let family = unsafe { (*pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_BTREE_OPFAMILY as i32)).btree_opf };
    // SAFETY: a catalogue look-up.
    let strategy = |oid| unsafe { pg_sys::get_op_opfamily_strategy(oid, family) } as u32;
    let comparison = match strategy(operator) {
        pg_sys::BTLessStrategyNumber => Comparison::Lt,
        pg_sys::BTLessEqualStrategyNumber => Comparison::Le,
        pg_sys::BTEqualStrategyNumber => Comparison::Eq,
        pg_sys::BTGreaterEqualStrategyNumber => Comparison::Ge,
        pg_sys::BTGreaterStrategyNumber => Comparison::Gt,
        _ => {
            // SAFETY: a catalogue look-up.
            let negator = unsafe { pg_sys::get_negator(operator) };
            if negator == pg_sys::InvalidOid || strategy(negator) != pg_sys::BTEqualStrategyNumber {
                return None;
            }
            Comparison::Ne
        }
    };
    is_deterministic(collation).then_some(comparison)
}

/// Whether texts that are not the same byte by byte are never equal.
pub fn is_deterministic(collation: pg_sys::Oid) -> bool {
    // SAFETY: a catalogue look-up.
    collation == pg_sys::InvalidOid || unsafe { pg_sys::get_collation_isdeterministic(collation) }
}

/// The function behind an operator.
pub fn function(operator: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: a catalogue look-up.
    unsafe { pg_sys::get_opcode(operator) }
}

/// What a function of two arguments tests.
pub enum Test {
    /// A text, after this is done to both sides, against a pattern.
    Text(Case, Form),
    /// Whether the first list holds all items of the second.
    Contains,
    /// The other way round.
    Contained,
    /// Whether two lists have an item in common.
    Overlaps,
    /// Whether two lists are the same.
    SameList,
}

pub fn test(function: pg_sys::Oid) -> Option<Test> {
    Some(match function.to_u32() {
        pg_sys::F_TEXTLIKE | pg_sys::F_LIKE_TEXT_TEXT => Test::Text(Case::Kept, Form::Like),
        pg_sys::F_TEXTICLIKE => Test::Text(Case::Lower, Form::Like),
        pg_sys::F_STARTS_WITH => Test::Text(Case::Kept, Form::Prefix),
        pg_sys::F_ARRAYCONTAINS => Test::Contains,
        pg_sys::F_ARRAYCONTAINED => Test::Contained,
        pg_sys::F_ARRAYOVERLAP => Test::Overlaps,
        pg_sys::F_ARRAY_EQ => Test::SameList,
        _ => return None,
    })
}

/// What a function of one text does to the case of its letters, if it does nothing else.
pub fn case(function: pg_sys::Oid, collation: pg_sys::Oid) -> Option<Case> {
    match function.to_u32() {
        pg_sys::F_LOWER_TEXT => Some(Case::Lower),
        pg_sys::F_UPPER_TEXT if is_letter_by_letter(collation) => Some(Case::Upper),
        _ => None,
    }
}

/// Whether `upper` makes one letter of each: ICU's makes two of some.
fn is_letter_by_letter(collation: pg_sys::Oid) -> bool {
    if collation == pg_sys::InvalidOid || !in_utf8() {
        return false;
    }
    let upper = pg_sys::Oid::from(pg_sys::F_UPPER_TEXT);
    // SAFETY: `upper` takes a text, and has a collation.
    let made = unsafe { pg_sys::OidFunctionCall1Coll(upper, collation, text_datum("ß")) };
    // SAFETY: `upper` returns a text.
    let made = unsafe { datum::to_value(made, false, pg_sys::TEXTOID) };
    made != Value::text("SS")
}

/// Whether a function casts whole numbers so that none changes and none becomes another's equal.
pub fn widens(function: pg_sys::Oid) -> bool {
    matches!(
        function.to_u32(),
        pg_sys::F_INT4_INT2
            | pg_sys::F_INT8_INT2
            | pg_sys::F_INT8_INT4
            | pg_sys::F_NUMERIC_INT2
            | pg_sys::F_NUMERIC_INT4
            | pg_sys::F_NUMERIC_INT8
            | pg_sys::F_FLOAT8_INT2
            | pg_sys::F_FLOAT8_INT4
    )
}
