//! Behaviour that the contract leaves open (its `(?)` marks) or that makes a test quick or a benchmark honest.

use serde::{Deserialize, Serialize};

/// All switches; each default is what the contract thinks likelier, or what makes a client's mistake show.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// So many requests to one base are let through in any second; 0: any number.
    pub requests_per_second: usize,
    /// The same over all bases, for one token.
    pub requests_per_second_and_token: usize,
    /// For so many milliseconds everything is refused once one of the limits was exceeded.
    pub penalty_ms: u64,
    /// What 429 says.
    pub rate_limit_body: RateLimitBody,
    /// 429 tells in `Retry-After` when the penalty ends.
    pub retry_after: bool,
    /// Calls left this month; at 0 they are refused with 429.
    pub monthly_calls: Option<u64>,

    /// At most so many records on a page, whatever `pageSize` says.
    pub page_size: Option<usize>,
    /// Rendered pages are kept and served again until something is written or set; iterators then do not expire.
    pub cache_pages: bool,
    /// An iterator is gone once it was idle for so many milliseconds.
    pub iterator_idle_ms: u64,
    /// An iterator is gone after it gave so many pages.
    pub iterator_uses: Option<u32>,
    /// An iterator keeps the records it began with; else pages are counted off anew, and writes shift them.
    pub stable_pages: bool,
    /// Records without sort and view come in an order of no meaning; else by creation.
    pub arbitrary_order: bool,
    /// An empty list of fields asks for all of them; else for none.
    pub empty_fields_mean_all: bool,
    /// Bases on a page of the list.
    pub bases_per_page: usize,

    /// In formulas a blank equals 0, and is compared with numbers as 0; else no comparison with it is true.
    pub blank_is_zero: bool,
    /// `{f}!='x'` is true of a blank.
    pub blank_is_not_equal: bool,
    /// Texts in formulas are compared without their case.
    pub equals_ignores_case: bool,
    /// FIND minds the case.
    pub find_minds_case: bool,
    /// SEARCH does not.
    pub search_ignores_case: bool,
    /// A checkbox compared with `FALSE()` is an invalid formula.
    pub checkbox_equals_false_invalid: bool,
    /// LEFT, MID, LEN, FIND and their like count UTF-16 units; else characters.
    pub utf16_lengths: bool,
    /// Date functions read texts as dates; else a text is an error.
    pub parse_date_strings: bool,
    /// IS_SAME, IS_BEFORE and IS_AFTER of a blank are errors; else false.
    pub blank_date_is_error: bool,
    /// Days begin so many minutes before midnight GMT, and dates in formulas are midnight there.
    pub zone_offset_minutes: i64,
    /// `\}` within braces stands for a brace; else it ends the name.
    pub brace_escapes: bool,
    /// LAST_MODIFIED_TIME() works in tables without a field of that type.
    pub last_modified_without_field: bool,
    /// A record that was never changed was last modified when it was created; else never.
    pub unmodified_is_created: bool,

    /// Texts sort without their case.
    pub sort_ignores_case: bool,
    /// Blanks come first in ascending order; else last.
    pub sort_blanks_first: bool,

    /// A computed number that is none is an object `{"specialValue":…}`; else it is left out.
    pub special_values: bool,
    /// A computed value that failed is an object `{"error":…}`; else it is left out.
    pub error_cells: bool,

    /// performUpsert merges on fields of few types; else on any that can be written.
    pub merge_types_limited: bool,
    /// One record refused refuses the batch; else those before it stay written.
    pub atomic_batches: bool,
    /// A time without an offset is one of the field's zone; else of GMT.
    pub naive_times_in_field_zone: bool,
    /// Times of modification have whole seconds, as times of creation always have.
    pub whole_second_stamps: bool,
    /// Numbers are rounded to the field's precision when they are written.
    pub round_to_precision: bool,
    /// What a request for one record answers that is not there.
    pub missing_record: Missing,
    /// What a batch answers that changes or deletes a record that is not there.
    pub missing_in_batch: Missing,
    /// Bytes of a request's body; more is 413.
    pub body_limit: usize,
    /// An attachment's URL is good for so many milliseconds, or half of them.
    pub attachment_url_ms: i64,
}

/// The two bodies of 429 that have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitBody {
    /// `{"errors":[{"error":"RATE_LIMIT_REACHED",…}]}`
    Errors,
    /// `{"error":{"type":"TOO_MANY_REQUESTS",…}}`
    Error,
}

/// How a record that is not there is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// 404 MODEL_ID_NOT_FOUND.
    ModelIdNotFound,
    /// 404 with the error as text.
    NotFound,
    /// 403 INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND.
    Forbidden,
    /// 422 ROW_DOES_NOT_EXIST, which names the record.
    RowDoesNotExist,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            requests_per_second: 5,
            requests_per_second_and_token: 50,
            penalty_ms: 30_000,
            rate_limit_body: RateLimitBody::Errors,
            retry_after: false,
            monthly_calls: None,
            page_size: None,
            cache_pages: false,
            iterator_idle_ms: 300_000,
            iterator_uses: None,
            stable_pages: false,
            arbitrary_order: true,
            empty_fields_mean_all: true,
            bases_per_page: 1000,
            blank_is_zero: true,
            blank_is_not_equal: true,
            equals_ignores_case: false,
            find_minds_case: true,
            search_ignores_case: true,
            checkbox_equals_false_invalid: true,
            utf16_lengths: true,
            parse_date_strings: true,
            blank_date_is_error: false,
            zone_offset_minutes: 0,
            brace_escapes: false,
            last_modified_without_field: true,
            unmodified_is_created: true,
            sort_ignores_case: true,
            sort_blanks_first: true,
            special_values: true,
            error_cells: true,
            merge_types_limited: true,
            atomic_batches: true,
            naive_times_in_field_zone: true,
            whole_second_stamps: false,
            round_to_precision: false,
            missing_record: Missing::ModelIdNotFound,
            missing_in_batch: Missing::RowDoesNotExist,
            body_limit: 4 << 20,
            attachment_url_ms: 2 * 3_600_000,
        }
    }
}
