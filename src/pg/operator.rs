//! What an operator means, by its OID.

use pgrx::pg_sys;

use crate::query::predicate::Comparison;

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
    // SAFETY: a catalogue look-up.
    let deterministic = collation == pg_sys::InvalidOid || unsafe { pg_sys::get_collation_isdeterministic(collation) };
    deterministic.then_some(comparison)
}
