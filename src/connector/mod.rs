//! Connectors: what each API can do and how it words it. Pure: nothing here sends a byte or sleeps.
//!
//! [`contract`] is the trait that every API implements, [`machine`] is how a connector says which request
//! comes next, [`batch`] is how every batch of writes goes, [`wire`] is what a request and its answer look like.
//! [`answer`] and [`cell`] are what every API's answers have in common, [`encode`] what
//! its records do, [`follow`] what following them has. `http` runs all of it.

pub mod airtable;
pub mod answer;
pub mod batch;
pub mod call;
pub mod cell;
pub mod contract;
pub mod encode;
pub mod follow;
pub mod machine;
pub mod oauth;
pub mod salesforce;
pub mod wire;

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::options::{CONNECTORS, ServerOptions};
use contract::Connector;

/// The connector that a server names. Needs no credentials and asks nothing.
pub fn open(server: &ServerOptions) -> Result<Arc<dyn Connector>> {
    match server.connector.as_str() {
        "airtable" => Ok(Arc::new(airtable::Airtable::new(server)?)),
        "salesforce" => Ok(Arc::new(salesforce::Salesforce::new(server)?)),
        other => Err(Error::new(Kind::BadOption, format!("there is no connector \"{other}\""))
            .hint(format!("Connectors: {}.", CONNECTORS.join(", ")))),
    }
}
