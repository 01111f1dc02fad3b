//! What brings a synced table nearer to the API.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::page::{Page, Weigh};
use crate::schema::Field;

/// An object that a synced table follows.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The API's own name of the object.
    pub object: String,
    /// The cells of a record, in this order; the key is one of them.
    pub fields: Vec<Field>,
    /// `None` if the API does not tell of changes.
    pub feed: Option<Feed>,
}

/// How an object's changes are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    /// What the connector wrote down for itself.
    pub wire: Json,
    /// Whether the API tells of deletions too; else they are found by comparing all records, which is done more often.
    pub deletions: bool,
}

/// Records as they are now, and keys of those that are gone.
#[derive(Debug, Default)]
pub struct Delta {
    pub records: Page,
    pub gone: Vec<String>,
    /// Where to go on once all this is kept; `None`: where it was before.
    pub position: Option<Json>,
}

impl Weigh for Delta {
    fn weight(&self) -> usize {
        self.records.weight() + self.gone.iter().map(String::len).sum::<usize>()
    }

    fn rows(&self) -> usize {
        self.records.rows() + self.gone.len()
    }
}
