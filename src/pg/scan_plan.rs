//! What crosses from planner to executor for a scan.

use serde::{Deserialize, Serialize};

use super::executor::ScanNode;
use super::plan_text;
use crate::error::Result;
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
    pub fn of(node: ScanNode<'_>) -> Result<ScanPlan> {
        // SAFETY: the planner made the list so.
        unsafe { plan_text::from_list(node.private()) }
    }
}
