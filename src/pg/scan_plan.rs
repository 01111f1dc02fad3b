//! What crosses from planner to executor: one serialised value. No pointer and no credential is in it.

use std::ffi::CStr;

use pgrx::{PgList, pg_sys};
use serde::{Deserialize, Serialize};

use super::executor::ScanNode;
use super::memory::c_utf8;
use super::node;
use crate::error::{Error, Kind, Result};
use crate::query::ask::Read;

/// A foreign scan as the plan carries it; the expressions that [`Operand::Arg`] counts travel beside it in
/// `fdw_exprs`, where Postgres keeps them up to date.
///
/// [`Operand::Arg`]: crate::query::predicate::Operand::Arg
#[derive(Serialize, Deserialize)]
pub struct ScanPlan {
    pub read: Read,
    /// For each field of the read: the attribute of the table that shows it.
    pub attributes: Vec<i16>,
}

impl ScanPlan {
    /// As a list that a plan can hold.
    pub fn to_list(&self) -> Result<*mut pg_sys::List> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::new(Kind::Internal, format!("could not write down the plan: {error}")))?;
        // SAFETY: makes a node around a string in the planner's memory.
        let node = unsafe { pg_sys::makeString(c_utf8(&text)) };
        Ok(node::list([node]))
    }

    /// What [`ScanPlan::to_list`] wrote down.
    pub fn of(node: ScanNode<'_>) -> Result<ScanPlan> {
        // SAFETY: `to_list` made a list of one string node.
        let text = unsafe {
            let list = PgList::<pg_sys::Node>::from_pg(node.private());
            list.get_ptr(0).map(|node| CStr::from_ptr(string(node)).to_bytes())
        };
        serde_json::from_slice(text.unwrap_or_default())
            .map_err(|error| Error::new(Kind::Internal, format!("could not read the plan: {error}")))
    }
}

/// # Safety
/// The node must be a string node.
#[cfg(feature = "pg14")]
unsafe fn string(node: *mut pg_sys::Node) -> *const std::ffi::c_char {
    // SAFETY: by the contract above.
    unsafe { (*node.cast::<pg_sys::Value>()).val.str_ }
}

/// # Safety
/// The node must be a string node.
#[cfg(not(feature = "pg14"))]
unsafe fn string(node: *mut pg_sys::Node) -> *const std::ffi::c_char {
    // SAFETY: by the contract above.
    unsafe { (*node.cast::<pg_sys::String>()).sval }
}
