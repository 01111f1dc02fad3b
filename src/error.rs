//! The one error type, and the one table that gives each kind of error its SQLSTATE.
//!
//! Nothing here knows Postgres: `pg::error` raises what arrives there.

use std::fmt;

/// What went wrong, by meaning. The SQLSTATE follows from it and from nothing else.
#[allow(dead_code, reason = "the table is whole: what reads never meet, writes do")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection: the name does not resolve, TLS fails, the port refuses.
    Connect,
    /// The connection dropped, or the server kept failing after all retries.
    Dropped,
    /// A write was sent and its answer never came.
    OutcomeUnknown,
    /// The statement was cancelled.
    Cancelled,
    /// The API refuses the credentials.
    Credentials,
    /// The API, or a setting of this server, forbids it.
    Forbidden,
    /// The API has no such object.
    UnknownObject,
    /// The object has no such field.
    UnknownField,
    /// The API has no such schema to import.
    UnknownSchema,
    /// An option that does not exist, is in the wrong place or has a bad value.
    BadOption,
    /// A required option is not there.
    MissingOption,
    /// A required field is empty.
    Required,
    /// Another record has this unique value.
    Duplicate,
    /// A reference leads nowhere, or a record is still referred to.
    BadReference,
    /// A validation rule or a picklist refuses the value.
    RuleViolated,
    /// Several records answer to one key.
    SeveralRecords,
    /// The text is longer than the field.
    TooLong,
    /// The value cannot be read as the field's type.
    Malformed,
    /// The number or the date is outside the type's range.
    OutOfRange,
    /// Postgres cannot store this text.
    NotStorable,
    /// The field can only be read.
    ReadOnlyField,
    /// Another process holds the record.
    Locked,
    /// The record changed meanwhile.
    Conflict,
    /// A rate limit or a quota is used up.
    Quota,
    /// A request larger than the API takes, or an answer larger than is taken here.
    TooLarge,
    /// This process may use no more memory, or the system has none.
    OutOfMemory,
    /// A query the API finds too complicated.
    TooComplex,
    /// The API forgot the cursor of a running scan.
    CursorLost,
    /// A write in a read-only transaction.
    ReadOnlyTransaction,
    /// Neither the API nor this version can do it.
    NotSupported,
    /// LIMIT below zero.
    NegativeLimit,
    /// An answer that is not what the API promises to send.
    Unreadable,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// The SQLSTATE that a client sees.
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Kind::Connect => "08001",
            Kind::Dropped => "08006",
            Kind::OutcomeUnknown => "08007",
            Kind::Cancelled => "57014",
            Kind::Credentials => "28000",
            Kind::Forbidden => "42501",
            Kind::UnknownObject => "HV00R",
            Kind::UnknownField => "HV005",
            Kind::UnknownSchema => "HV00Q",
            Kind::BadOption => "HV00D",
            Kind::MissingOption => "HV00J",
            Kind::Required => "23502",
            Kind::Duplicate => "23505",
            Kind::BadReference => "23503",
            Kind::RuleViolated => "23514",
            Kind::SeveralRecords => "21000",
            Kind::TooLong => "22001",
            Kind::Malformed => "22P02",
            Kind::OutOfRange => "22003",
            Kind::NotStorable => "22P05",
            Kind::ReadOnlyField => "428C9",
            Kind::Locked => "55P03",
            Kind::Conflict => "40001",
            Kind::Quota => "53400",
            Kind::TooLarge => "54000",
            Kind::OutOfMemory => "53200",
            Kind::TooComplex => "54001",
            Kind::CursorLost => "34000",
            Kind::ReadOnlyTransaction => "25006",
            Kind::NotSupported => "0A000",
            Kind::NegativeLimit => "2201W",
            Kind::Unreadable => "HV00M",
            Kind::Internal => "XX000",
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error on its way to the client. Much of its texts is what an API sent: they hold no letter that [`is_hidden`].
#[derive(Clone)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    request: Option<String>,
    /// Schema and name.
    table: Option<(String, String)>,
    column: Option<String>,
}

/// What an API sends may be of any length, and nobody reads more than this of it.
const LONGEST_TEXT: usize = 4 << 10;

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
    text
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            kind,
            message: shown(cut(message.into()), false),
            detail: None,
            hint: None,
            request: None,
            table: None,
            column: None,
        }))
    }

    /// A write that was sent, and then this happened: the API may have done it or not.
    pub fn outcome_unknown(cause: &Error) -> Self {
        let message = format!("it is not known whether the API has done what was asked: {cause}");
        let mut error = Error(Box::new(Parts { kind: Kind::OutcomeUnknown, message, ..(*cause.0).clone() }));
        error.0.hint = Some("Look at the records before you repeat the statement.".to_owned());
        error
    }

    /// The API's code, field, record position and request id. Several calls add lines.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        let detail = shown(cut(detail.into()), true);
        self.0.detail = Some(match self.0.detail.take() {
            Some(before) if before.len() > LONGEST_TEXT => before,
            Some(before) => format!("{before}\n{detail}"),
            None => detail,
        });
        self
    }

    /// What to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(shown(cut(hint.into()), true));
        self
    }

    /// `METHOD url` of the request that failed. The innermost one stays.
    pub fn request(mut self, request: impl Into<String>) -> Self {
        self.0.request.get_or_insert_with(|| shown(request.into(), false));
        self
    }

    /// The table that the statement reads or writes.
    pub fn table(mut self, schema: &str, name: &str) -> Self {
        self.0.table = Some((schema.to_owned(), name.to_owned()));
        self
    }

    /// The column, by its local name where that is known, else the API's field.
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(shown(column.into(), false));
        self
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub fn request_text(&self) -> Option<&str> {
        self.0.request.as_deref()
    }

    /// Schema and name.
    pub fn table_name(&self) -> Option<(&str, &str)> {
        self.0.table.as_ref().map(|(schema, name)| (schema.as_str(), name.as_str()))
    }

    pub fn column_name(&self) -> Option<&str> {
        self.0.column.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// Whether a letter is not seen, but changes how a terminal or a log shows what is around it: control characters, what
/// turns the direction of writing round, what has no width.
/// <https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The text with such letters escaped, as `\u{202e}`. `lines`: whether it may have line ends and tabs.
pub fn shown(text: String, lines: bool) -> String {
    let escaped = |letter: char| is_hidden(letter) && !(lines && matches!(letter, '\n' | '\t'));
    if !text.contains(escaped) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match escaped(letter) {
            true if letter.is_ascii() => shown.extend(letter.escape_default()),
            true => shown.extend(letter.escape_unicode()),
            false => shown.push(letter),
        }
    }
    shown
}

/// The known name nearest to a mistyped one, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_hidden_is_escaped_in_every_text_of_an_error_and_lines_stay_where_there_may_be_some() {
        let bad = "a\u{202e}b\u{7}\u{85}\u{2028}\u{feff}\u{200d}\nc\td\r";
        let error = Error::new(Kind::Dropped, bad).detail(bad).hint(bad).request(bad).column(bad);
        let one_line = r"a\u{202e}b\u{7}\u{85}\u{2028}\u{feff}\u{200d}\nc\td\r";
        let lines = "a\\u{202e}b\\u{7}\\u{85}\\u{2028}\\u{feff}\\u{200d}\nc\td\\r";
        assert_eq!(
            (error.message(), error.request_text(), error.column_name()),
            (one_line, Some(one_line), Some(one_line))
        );
        assert_eq!((error.detail_text(), error.hint_text()), (Some(lines), Some(lines)));
        assert_eq!(Error::outcome_unknown(&error).message().matches('\u{202e}').count(), 0);
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_shown_and_nothing_else_is_changed(text in any::<String>(), lines: bool) {
            let shown = shown(text.clone(), lines);
            prop_assert!(!shown.chars().any(|letter| is_hidden(letter) && !(lines && "\n\t".contains(letter))));
            let rest: String = text.chars().filter(|letter| !is_hidden(*letter)).collect();
            if rest == text {
                prop_assert_eq!(shown, text);
            }
        }
    }

    #[test]
    fn the_innermost_request_is_kept_and_details_add_up() {
        let error = Error::new(Kind::Dropped, "gone")
            .detail("one")
            .detail("two")
            .request("GET http://a/")
            .request("GET http://b/");
        assert_eq!(error.detail_text(), Some("one\ntwo"));
        assert_eq!(error.request_text(), Some("GET http://a/"));
    }

    #[test]
    fn texts_of_any_length_are_cut() {
        let long = "ä".repeat(1 << 20);
        let error = Error::new(Kind::Dropped, &*long).detail(&*long).detail(&*long).detail(&*long).hint(&*long);
        assert!(error.message().len() < 5_000 && error.message().ends_with("ä…"));
        assert!(error.detail_text().unwrap().len() < 10_000 && error.hint_text().unwrap().len() < 5_000);
    }

    #[test]
    fn nearest_names_what_was_probably_meant_and_nothing_far_off() {
        assert_eq!(nearest("base_ulr", ["connector", "base_url"]), Some("base_url"));
        assert_eq!(nearest("zzz", ["connector", "base_url"]), None);
    }
}
