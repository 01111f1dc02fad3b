//! Drawing values: the same seed gives the same ones, and they are chosen to be awkward.

/// Two fields of one record must not have related values, so every draw is hashed anew.
pub fn hash(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub fn pick<T: Copy>(from: &[T], draw: u64) -> T {
    from[(draw % from.len() as u64) as usize]
}

/// Texts that break what is careless: SOQL escapes, LIKE wildcards, blanks at the ends, letters beyond ASCII.
pub const ODD: &[&str] = &[
    "Acme",
    "ACME",
    "acme",
    " leading blank",
    "trailing blank ",
    "O'Brien",
    "\"quoted\"",
    "back\\slash",
    "C:\\new\\table",
    "line one\nline two",
    "tab\there",
    "carriage\r\nreturn",
    "100%",
    "under_score",
    "%_%",
    "emoji 😀 🏳️‍🌈",
    "e\u{301}clair (combining)",
    "éclair",
    "ÉCLAIR",
    "Straße",
    "STRASSE",
    "İstanbul",
    "日本語テキスト",
    "עברית",
    "null",
    "NULL",
    "true",
    "2024-05-31",
    "007",
    "1e5",
    "a,b;c",
    "{\"json\":[1,2]}",
    "<b>&amp;</b>",
    "?q=SELECT+Id&x=%27",
    "' OR Name != '",
    "\u{2028}separator",
    "\u{7f}delete",
    "$1 $$ $body$",
    "zebra",
    "Zebra",
];
