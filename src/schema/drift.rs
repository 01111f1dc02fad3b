//! How an object has changed since a table was made of it.

use super::{Field, Object};

/// Fields that a table lacks, that the object lacks, and those that have another type now.
#[derive(Debug, Default, PartialEq)]
pub struct Drift {
    pub added: Vec<Field>,
    pub gone: Vec<Field>,
    /// As they are now.
    pub retyped: Vec<Field>,
}

impl Drift {
    /// `known`: as a table's options have it, `now`: as the API describes it. Fields of other records, seen along a
    /// reference, are not the object's own.
    pub fn between(known: &Object, now: &Object) -> Drift {
        let find =
            |fields: &'_ [Field], name: &str| fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
        let mut drift = Drift::default();
        for field in &now.fields {
            match find(&known.fields, &field.name).map(|at| &known.fields[at]) {
                None => drift.added.push(field.clone()),
                Some(known) if !known.remote_type.is_empty() && known.remote_type != field.remote_type => {
                    drift.retyped.push(field.clone());
                }
                Some(_) => {}
            }
        }
        let own = known.fields.iter().filter(|field| !field.name.contains('.'));
        drift.gone = own.filter(|field| find(&now.fields, &field.name).is_none()).cloned().collect();
        drift
    }

    pub fn is_none(&self) -> bool {
        *self == Drift::default()
    }

    /// What a user should know of it; nothing if there is none. `column`: what shows a field in the table.
    pub fn note<'a>(&'a self, column: impl Fn(&'a Field) -> Option<&'a str>) -> Option<String> {
        let name = |field: &'a Field| column(field).unwrap_or_else(|| field.title());
        let names = |fields: &'a [Field]| fields.iter().map(name).collect::<Vec<_>>().join(", ");
        let parts = [
            ("new fields", &self.added),
            ("fields that are gone", &self.gone),
            ("fields of another type", &self.retyped),
        ];
        let told: Vec<_> = parts
            .iter()
            .filter(|(_, fields)| !fields.is_empty())
            .map(|(what, fields)| format!("{what}: {}", names(fields)))
            .collect();
        (!told.is_empty()).then(|| format!("the API has {}", told.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Capabilities, Operations};
    use crate::value::Type;

    fn object(fields: &[(&str, &str)]) -> Object {
        let field = |(name, remote_type): &(&str, &str)| Field {
            name: (*name).to_owned(),
            label: None,
            ty: Type::Text,
            remote_type: (*remote_type).to_owned(),
            key: false,
            references: None,
            capabilities: Capabilities::default(),
        };
        Object {
            name: "Contact".to_owned(),
            fields: fields.iter().map(field).collect(),
            operations: Operations::default(),
            estimated_rows: None,
        }
    }

    #[test]
    fn what_is_the_same_is_no_drift() {
        // Names of fields have no case, a hand-written table may leave types out, and a reference's fields are others'.
        let known = object(&[("Id", "id"), ("name", ""), ("Account.Name", "string")]);
        assert!(Drift::between(&known, &object(&[("Id", "id"), ("Name", "string")])).is_none());
    }

    #[test]
    fn fields_come_go_and_change() {
        let known = object(&[("Id", "id"), ("Old__c", "string"), ("Score__c", "double")]);
        let drift = Drift::between(&known, &object(&[("Id", "id"), ("New__c", "string"), ("Score__c", "string")]));
        assert_eq!(
            drift.note(|_| None).unwrap(),
            "the API has new fields: New__c; fields that are gone: Old__c; fields of another type: Score__c"
        );
    }
}
