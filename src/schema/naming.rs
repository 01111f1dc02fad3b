//! From the API's names to Postgres's.

use std::collections::HashSet;

/// Postgres cuts identifiers at this many bytes (`NAMEDATALEN - 1`).
const MAX_BYTES: usize = 63;

/// How an import names tables and columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    #[default]
    SnakeCase,
    ApiNative,
}

impl Naming {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "snake_case" => Some(Naming::SnakeCase),
            "api_native" => Some(Naming::ApiNative),
            _ => None,
        }
    }

    pub fn apply(self, name: &str) -> String {
        match self {
            Naming::SnakeCase => snake_case(name),
            Naming::ApiNative => name.to_owned(),
        }
    }
}

/// `AccountId` → `account_id`, `ERP_Key__c` → `erp_key__c`, `X2ndValue__c` → `x2nd_value__c`.
///
/// `_` goes between a lower-case letter or digit and a capital, and before the last capital of a run
/// that a lower-case letter follows. Other characters than letters, digits and `_` become `_`.
pub fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut folded = String::with_capacity(name.len() + 4);
    for (at, &letter) in letters.iter().enumerate() {
        if letter.is_uppercase() && at > 0 {
            let before = letters[at - 1];
            let ends_a_word = before.is_lowercase() || before.is_numeric();
            let starts_a_word = before.is_uppercase() && letters.get(at + 1).is_some_and(|after| after.is_lowercase());
            if ends_a_word || starts_a_word {
                folded.push('_');
            }
        }
        if letter.is_alphanumeric() || letter == '_' {
            folded.extend(letter.to_lowercase());
        } else {
            folded.push('_');
        }
    }
    folded
}

/// Hands out names that are unique and fit into an identifier.
#[derive(Default)]
pub struct UniqueNames(HashSet<String>);

/// What every table of Postgres has already.
/// <https://www.postgresql.org/docs/current/ddl-system-columns.html>
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

impl UniqueNames {
    /// For the columns of one table.
    pub fn of_columns() -> Self {
        UniqueNames(SYSTEM_COLUMNS.map(str::to_owned).into())
    }

    /// The name itself if it is free; else with `_` appended as often as it takes.
    pub fn claim(&mut self, name: &str) -> String {
        // An API may let a name be blank; Postgres does not.
        let (name, mut suffix) = (if name.is_empty() { "_" } else { name }, String::new());
        loop {
            let candidate = format!("{}{suffix}", cut(name, MAX_BYTES - suffix.len()));
            if self.0.insert(candidate.clone()) {
                return candidate;
            }
            // An object of 63 fields of one name does not exist; a number keeps the loop finite.
            if suffix.len() < 8 {
                suffix.push('_');
            } else {
                suffix = format!("_{}", self.0.len());
            }
        }
    }
}

/// The longest prefix of at most `bytes` bytes that ends at a character's end.
fn cut(name: &str, bytes: usize) -> &str {
    &name[..name.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_follows_the_documented_rule() {
        for (name, folded) in [
            ("AccountId", "account_id"),
            ("ERP_Key__c", "erp_key__c"),
            ("X2ndValue__c", "x2nd_value__c"),
            ("HTMLBody", "html_body"),
            ("Id", "id"),
            ("Name", "name"),
            ("LastModifiedById", "last_modified_by_id"),
            ("Product2", "product2"),
            ("Every_Type__c", "every_type__c"),
            ("Größe (cm)", "größe__cm_"),
            ("", ""),
        ] {
            assert_eq!(snake_case(name), folded);
        }
    }

    #[test]
    fn collisions_and_long_names_stay_unique_within_63_bytes() {
        let mut names = UniqueNames::default();
        assert_eq!(names.claim("id"), "id");
        assert_eq!(names.claim("id"), "id_");
        assert_eq!(names.claim("id"), "id__");
        let long = "ü".repeat(60);
        let (first, second) = (names.claim(&long), names.claim(&long));
        assert_ne!(first, second);
        assert!(first.len() <= 63 && second.len() <= 63);
        let many: HashSet<_> = (0..100).map(|_| names.claim("x")).collect();
        assert_eq!(many.len(), 100);
    }
}
