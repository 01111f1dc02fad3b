//! Queries that do not fit into one URI.
//!
//! Salesforce takes 16,384 bytes of URI (and 100,000 characters of SOQL, which no such URI reaches). One list
//! of a query is split over several queries, whose results share no row; conditions that are tested again here
//! anyway are left out if they must be.
//! <https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/salesforce_app_limits_cheatsheet/salesforce_app_limits_platform_api.htm>

use std::collections::HashSet;

use super::soql::{Condition, List, encoded_len};
use crate::error::{Error, Kind, Result};
use crate::query::push::SHORT_LIST;

/// Bytes of path and query; the rest of the 16,384 is for the host.
pub const MAX_QUERY: usize = 16_000;

/// Bytes of ` AND ` and a pair of parentheses.
const JOIN: usize = 9 + 6;

/// The conditions of each query. `fixed` is what a query takes apart from its conditions; `exact` is the field
/// whose list was promised to be exact.
pub fn pieces(parts: Vec<Condition>, fixed: usize, exact: Option<&str>) -> Result<Vec<Vec<Condition>>> {
    let Some(mut parts) = merge_lists(parts) else { return Ok(Vec::new()) };
    let mut promised = parts.iter().position(|part| list_to_split(part).is_some_and(|list| exact == Some(&list.field)));
    loop {
        let lengths: Vec<_> = parts.iter().map(|part| encoded_len(&part.to_string()) + JOIN).collect();
        let whole = fixed + lengths.iter().sum::<usize>();
        if whole <= MAX_QUERY {
            return Ok(vec![parts]);
        }
        let longest =
            |fits: &dyn Fn(usize) -> bool| (0..parts.len()).filter(|at| fits(*at)).max_by_key(|at| lengths[*at]);
        let split = promised.or_else(|| longest(&|at| list_to_split(&parts[at]).is_some()));
        let spare = longest(&|at| Some(at) != split && may_be_left_out(&parts[at], promised == Some(at)));
        match (split, spare) {
            // Enough room for a list, or nothing else to be had.
            (Some(at), spare) if spare.is_none() || whole - lengths[at] <= MAX_QUERY / 2 => {
                return cut(parts, at, MAX_QUERY.saturating_sub(whole - lengths[at]));
            }
            (_, Some(at)) => {
                parts.remove(at);
                promised = promised.map(|promised| promised - usize::from(at < promised));
            }
            _ => return Err(too_large()),
        }
    }
}

/// Makes one list of all that one field must be in, so that none stands in for another. `None` if no value is in
/// all of them.
fn merge_lists(parts: Vec<Condition>) -> Option<Vec<Condition>> {
    let mut merged: Vec<Condition> = Vec::with_capacity(parts.len());
    for part in parts {
        let before = list_to_split(&part).map(|list| list.field.clone()).and_then(|field| {
            merged.iter_mut().find_map(|other| match other {
                Condition::List(other) if !other.negated && !other.loose && other.field == field => Some(other),
                _ => None,
            })
        });
        match (before, part) {
            (Some(before), Condition::List(list)) => {
                let items: HashSet<_> = list.items.into_iter().collect();
                before.items.retain(|item| items.contains(item));
                if before.items.is_empty() {
                    return None;
                }
            }
            (_, part) => merged.push(part),
        }
    }
    Some(merged)
}

pub fn too_large() -> Error {
    Error::new(Kind::TooLarge, "the query is longer than Salesforce takes")
        .detail(format!("A query and its path may have {MAX_QUERY} bytes, percent-encoded."))
        .hint("Select fewer columns, or test against a shorter list.")
}

/// A list whose parts share no row: equal values were the same text. Not of texts: the API ignores case.
fn list_to_split(part: &Condition) -> Option<&List> {
    match part {
        Condition::List(list) if !list.negated && !list.loose => Some(list),
        _ => None,
    }
}

/// Whether a condition was planned to be tested again here.
pub fn may_be_left_out(part: &Condition, promised: bool) -> bool {
    match part {
        Condition::True | Condition::False => false,
        Condition::Test { loose, .. } => *loose,
        Condition::List(list) => list.loose || (list.items.len() > SHORT_LIST && !promised),
        Condition::And(parts) | Condition::Or(parts) => parts.iter().any(|part| may_be_left_out(part, false)),
    }
}

/// Splits one list so that each piece takes at most `room` bytes.
fn cut(mut parts: Vec<Condition>, at: usize, room: usize) -> Result<Vec<Vec<Condition>>> {
    let Condition::List(list) = parts.remove(at) else { return Err(too_large()) };
    let empty = List { items: Vec::new(), ..list };
    let frame = encoded_len(&empty.to_string()) + JOIN;
    let mut pieces: Vec<(usize, Vec<String>)> = Vec::new();
    for item in list.items {
        let length = encoded_len(&item) + "%2C".len();
        if frame + length > room {
            return Err(too_large());
        }
        match pieces.last_mut() {
            Some((taken, items)) if *taken + length <= room => {
                *taken += length;
                items.push(item);
            }
            _ => pieces.push((frame + length, vec![item])),
        }
    }
    Ok(pieces
        .into_iter()
        .map(|(_, items)| {
            let mut piece = parts.clone();
            piece.insert(at, Condition::List(List { items, ..empty.clone() }));
            piece
        })
        .collect())
}
