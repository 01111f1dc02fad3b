//! What a user can set for a synced table: the members of `options` in `sequin.start_sync`.

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, nearest};

/// The members there are.
const NAMES: [&str; 3] = ["quota_share", "sweep_every", "follow_schema"];

#[derive(Clone, Debug, PartialEq)]
pub struct SyncOptions {
    /// The part of the API's daily quota that polls of this table may spend, from 0 to 1.
    pub quota_share: f64,
    /// Whether columns are added, dropped and changed as the API's fields are.
    pub follow_schema: bool,
}

impl Default for SyncOptions {
    fn default() -> Self {
        SyncOptions { quota_share: 0.5, follow_schema: false }
    }
}

impl SyncOptions {
    /// Reads a JSON object. Errors: HV00D for what is unknown or makes no sense.
    pub fn read(json: &str) -> Result<SyncOptions> {
        let bad = |message: String| Error::new(Kind::BadOption, message);
        let given: Map<String, Value> = serde_json::from_str(json)
            .map_err(|_| bad("the options of a synced table must be a JSON object".to_owned()))?;
        if let Some(unknown) = given.keys().find(|name| !NAMES.contains(&name.as_str())) {
            let known = NAMES.join(", ");
            let hint = match nearest(unknown, NAMES) {
                Some(near) => format!("Perhaps you mean \"{near}\". There are: {known}."),
                None => format!("There are: {known}."),
            };
            return Err(bad(format!("a synced table has no option \"{unknown}\"")).hint(hint));
        }
        let mut options = SyncOptions::default();
        let misfit = |name: &str, wants: &str, like: &str| {
            bad(format!("option \"{name}\" of a synced table must be {wants}"))
                .hint(format!("For example {{\"{name}\": {like}}}."))
        };
        for (name, value) in &given {
            match name.as_str() {
                "quota_share" => {
                    let share = value.as_f64().filter(|share| *share > 0.0 && *share <= 1.0);
                    options.quota_share =
                        share.ok_or_else(|| misfit(name, "a number above 0 and at most 1", "0.25"))?;
                }
                // An interval of Postgres's, which reads it.
                "sweep_every" if value.is_null() || value.is_string() => {}
                "sweep_every" => return Err(misfit(name, "an interval, or null for never", "\"6 hours\"")),
                _ => options.follow_schema = value.as_bool().ok_or_else(|| misfit(name, "true or false", "true"))?,
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_means_half_the_quota() {
        assert_eq!(SyncOptions::read("{}").unwrap(), SyncOptions::default());
    }

    #[test]
    fn what_is_given_counts() {
        let read = SyncOptions::read(r#"{"quota_share": 0.1, "sweep_every": null, "follow_schema": true}"#).unwrap();
        assert_eq!(read, SyncOptions { quota_share: 0.1, follow_schema: true });
    }

    #[test]
    fn what_is_unknown_or_makes_no_sense_is_refused() {
        for (json, says) in [
            ("[]", "JSON object"),
            (r#"{"quota": 1}"#, "no option \"quota\""),
            (r#"{"quota_share": 0}"#, "above 0"),
            (r#"{"quota_share": 2}"#, "above 0"),
            (r#"{"quota_share": "much"}"#, "\"quota_share\" of a synced table must be a number"),
            (r#"{"sweep_every": 5}"#, "an interval"),
            (r#"{"follow_schema": "perhaps"}"#, "\"follow_schema\" of a synced table must be true or false"),
        ] {
            let error = SyncOptions::read(json).unwrap_err();
            assert!(error.message().contains(says), "{json}: {}", error.message());
            assert_eq!(error.kind(), Kind::BadOption);
        }
    }
}
