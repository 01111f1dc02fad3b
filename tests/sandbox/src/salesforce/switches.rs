//! Behaviour that the contract leaves open (its `(?)` marks) or that an org's administrator decides.

use serde::{Deserialize, Serialize};

/// All switches; each default is what the contract thinks likelier, or what makes a client's mistake show.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// At most so many records on a page, also below the API's own minimum of 200.
    pub page_size: Option<usize>,
    /// Pages have fewer records than asked for, and different numbers of them.
    pub uneven_pages: bool,
    /// Between two pages stands an empty one that links to the next.
    pub empty_pages: bool,
    /// Rendered pages are kept and served again until something is written or set.
    pub cache_pages: bool,
    /// A batchSize outside 200..2000 is clamped; else it is refused.
    pub clamp_batch_size: bool,
    /// `f != 'x'`, `NOT IN` and `NOT (…)` also return the rows whose field is null (two-valued logic).
    pub nulls_match_not_equal: bool,
    /// `f = ''` returns the rows whose text is null.
    pub empty_text_matches_null: bool,
    /// `<>` is accepted as `!=`.
    pub angle_not_equal: bool,
    /// GROUP BY makes one group of texts that differ in case.
    pub group_merges_case: bool,
    /// COUNT_DISTINCT counts texts that differ in case once.
    pub distinct_merges_case: bool,
    /// Picklists sort, and MIN and MAX, in the order of their values' definition; else as text.
    pub picklist_order: bool,
    /// Doubles from 10^7 up read `1.0E7`; else `10000000.0`.
    pub exponent_numbers: bool,
    /// Results without ORDER BY come by id; else in an order of no meaning.
    pub unordered_by_id: bool,
    /// Address values have `countryCode` and `stateCode`.
    pub address_codes: bool,
    /// Two contacts with one e-mail address are refused (DUPLICATES_DETECTED) unless the request allows them.
    pub duplicate_rule: bool,
    /// Using a refresh token replaces it.
    pub rotate_refresh_tokens: bool,
    /// Stamps of writes have no milliseconds.
    pub whole_second_stamps: bool,
    /// The REST API is switched off for the org: 403 for everything.
    pub api_disabled: bool,
    /// Changing or deleting a record in the recycle bin answers ENTITY_IS_DELETED; else INVALID_CROSS_REFERENCE_KEY, as
    /// for a record that never was.
    pub gone_as_deleted: bool,
    /// What a write answers that refers to a record that is not there.
    pub dangling_reference: DanglingReference,
}

/// How a reference to no record, or to a deleted one, is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DanglingReference {
    /// INVALID_CROSS_REFERENCE_KEY that names the field.
    #[default]
    InvalidOnField,
    /// INVALID_CROSS_REFERENCE_KEY that names no field.
    Invalid,
    /// INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY: the message names the id, nothing the field.
    NoAccess,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            page_size: None,
            uneven_pages: false,
            empty_pages: false,
            cache_pages: false,
            clamp_batch_size: true,
            nulls_match_not_equal: true,
            empty_text_matches_null: true,
            angle_not_equal: true,
            group_merges_case: true,
            distinct_merges_case: true,
            picklist_order: true,
            exponent_numbers: true,
            unordered_by_id: true,
            address_codes: false,
            duplicate_rule: false,
            rotate_refresh_tokens: false,
            whole_second_stamps: false,
            api_disabled: false,
            gone_as_deleted: true,
            dangling_reference: DanglingReference::default(),
        }
    }
}
