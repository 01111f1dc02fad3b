//! How a plan carries a value from planner to executor: as one string. No pointer and no credential is in it.

use std::ffi::CStr;

use pgrx::{PgList, pg_sys};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::memory::c_utf8;
use super::node;
use crate::error::{Error, Kind, Result};

/// As a list that a plan can hold.
pub fn to_list(value: &impl Serialize) -> Result<*mut pg_sys::List> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::new(Kind::Internal, format!("could not write down the plan: {error}")))?;
    // SAFETY: makes a node around a string in the planner's memory.
    let node = unsafe { pg_sys::makeString(c_utf8(&text)) };
    Ok(node::list([node]))
}

/// What [`to_list`] wrote down.
///
/// # Safety
/// The list must be of [`to_list`]'s making.
pub unsafe fn from_list<T: DeserializeOwned>(list: *mut pg_sys::List) -> Result<T> {
    // SAFETY: by the contract above, a list of one string node.
    let list = unsafe { PgList::<pg_sys::Node>::from_pg(list) };
    // SAFETY: likewise.
    let text = list.get_ptr(0).map(|node| unsafe { CStr::from_ptr(string(node)) }.to_bytes());
    serde_json::from_slice(text.unwrap_or_default())
        .map_err(|error| Error::new(Kind::Internal, format!("could not read the plan: {error}")))
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
