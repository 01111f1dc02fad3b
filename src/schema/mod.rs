//! What an API says of its objects and fields, and how that is written down in table options.
//!
//! Planning makes no request, so whatever it must know crosses from import to plan in those options.

pub mod drift;
pub mod naming;
pub mod sql;

use serde::{Deserialize, Serialize};

use crate::value::Type;

/// One object of an API, as a table sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// The API's own name or id.
    pub name: String,
    pub fields: Vec<Field>,
    pub operations: Operations,
    pub estimated_rows: Option<u64>,
}

/// One field of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The API's own name or id.
    pub name: String,
    /// What the API's users call it, where `name` is an id. Known only as long as the API is being asked.
    pub label: Option<String>,
    /// What a cell of this field is here.
    pub ty: Type,
    /// The API's own type. Empty in a hand-written table that leaves it out.
    pub remote_type: String,
    pub key: bool,
    pub references: Option<Reference>,
    pub capabilities: Capabilities,
}

impl Field {
    /// What a column that shows it is named after.
    pub fn title(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

/// Where a reference leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// More than one for a polymorphic reference.
    pub objects: Vec<String>,
    /// The name by which the API's query language follows it.
    pub relationship: Option<String>,
}

impl Reference {
    /// Reads `User via Owner`, `Account, Contact via What` or, without a relationship, `User`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (objects, relationship) = match text.split_once(" via ") {
            Some((objects, relationship)) => (objects, Some(relationship.trim().to_owned())),
            None => (text, None),
        };
        let objects: Vec<_> = objects.split(',').map(|name| name.trim().to_owned()).collect();
        if objects.iter().any(String::is_empty) || relationship.as_deref() == Some("") {
            return Err("must read like: Account via ParentAccount".to_owned());
        }
        Ok(Reference { objects, relationship })
    }

    pub fn format(&self) -> String {
        let objects = self.objects.join(", ");
        match &self.relationship {
            Some(relationship) => format!("{objects} via {relationship}"),
            None => objects,
        }
    }
}

/// A small set of named flags, written as a comma-separated list.
macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($flag:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name { $(pub $flag: bool),+ }

        impl $name {
            /// Reads a comma-separated list; an empty one is the empty set.
            pub fn parse(text: &str) -> Result<Self, String> {
                let mut set = Self::default();
                for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                    match word {
                        $($text => set.$flag = true,)+
                        _ => return Err(format!("must be a list of: {}", [$($text),+].join(", "))),
                    }
                }
                Ok(set)
            }

            pub fn format(self) -> String {
                let words = [$((self.$flag, $text)),+];
                words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
            }
        }
    };
}

flags! {
    /// What may be written to an object.
    Operations { insert = "insert", update = "update", delete = "delete" }
}

flags! {
    /// What the API can do with a field.
    Capabilities {
        filter = "filter",
        sort = "sort",
        group = "group",
        aggregate = "aggregate",
        create = "create",
        update = "update",
        // Texts that differ in case alone are different to it: it never takes one for the other.
        case = "case",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_references_survive_the_way_through_options() {
        let set = Capabilities { filter: true, update: true, ..Default::default() };
        assert_eq!(set.format(), "filter, update");
        assert_eq!(Capabilities::parse(&set.format()), Ok(set));
        for text in ["User via Owner", "Account, Contact via What", "User"] {
            assert_eq!(Reference::parse(text).unwrap().format(), text);
        }
        assert!(Reference::parse(" via Owner").is_err());
    }
}
