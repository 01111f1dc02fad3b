//! What is asked of an API, in neutral words.
//!
//! `pg` lowers a statement to these values, connectors say what they can do with them, and the plan
//! carries them to the executor. [`predicate`] is the language of filters, [`pattern`] is what texts are compared with in it, [`push`] decides what part
//! of a filter goes to the API, [`ask`] is a whole read, [`page`] is what comes
//! back, [`change`] is what is written, [`delta`] is what a synced table lacks, [`sample`] is how a few pages speak for
//! all.

pub mod ask;
pub mod change;
pub mod delta;
pub mod page;
pub mod pattern;
pub mod predicate;
pub mod push;
pub mod sample;
