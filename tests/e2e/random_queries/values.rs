//! What columns are compared with: values that they hold, the same a little off, and awkward ones.

use super::draw::{Draw, quote};
use super::fixture::{Class, Column};

const TEXTS: &[&str] = &[
    "",
    " ",
    "smith",
    "SMITH",
    "Smith",
    "Smith ",
    "O'Brien",
    "Back\\slash",
    "line one\nline two",
    "100%",
    "%_%",
    "under_score",
    "🙂 Smiley",
    "ÉCLAIR",
    "éclair",
    "Straße",
    "STRASSE",
    "İstanbul",
    "i̇stanbul",
    "null",
    "NULL",
    "true",
    "007",
    "tab\there",
    "\"quoted\"",
    "\u{7f}",
    "C:\\new\\table",
    "a",
    "A",
    "zebra",
    "Zebra",
    "no such text",
];
const KEYS: &[&str] = &[
    "",
    "x",
    "rec00000000000000",
    "recnothere",
    "001000000000000AAA",
    "001RO0000035WQg",
    "003RO0000035WQgAAM",
    "00q000000000000",
    "001RO0000035WQgAA ",
];
const NUMBERS: &[&str] = &[
    "0",
    "-0.0",
    "1",
    "1.5",
    "2.50",
    "0.000001",
    "-1e-7",
    "1e10",
    "-1e10",
    "1e17",
    "1e25",
    "123456789012345678.123456789",
    "NaN",
    "Infinity",
    "-Infinity",
    "100",
    "50",
];
const WHOLES: &[&str] = &["0", "-1", "1", "2147483647", "-2147483648", "100", "1000"];
const DATES: &[&str] = &[
    "1700-01-01",
    "1699-12-31",
    "4000-12-31",
    "4001-01-01",
    "infinity",
    "-infinity",
    "0044-03-15 BC",
    "2000-02-29",
    "9999-12-31",
    "1990-01-01",
    "2023-06-30",
];
const MOMENTS: &[&str] = &[
    "1700-01-01 00:00+00",
    "4000-12-31 23:59:59.999+00",
    "4000-12-31 23:59:59.999999+00",
    "infinity",
    "-infinity",
    "0001-01-01 00:00+00 BC",
    "2020-05-31 12:34:56.789123+00",
    "294000-01-01 00:00+00",
    "2020-05-31 12:34:56+05:30",
    "2018-01-01 00:00+00",
    "2022-01-01 00:00+00",
];
const TIMES: &[&str] = &["00:00", "24:00", "23:59:59.999", "12:00:00.000001", "12:00", "06:30"];

/// A value of the column's own type, as an expression of constants.
pub fn value(draw: &mut Draw, column: &Column) -> String {
    let ty = &column.ty;
    if column.class == Class::Several {
        return list(draw, column);
    }
    if !column.twins.is_empty() && draw.hit(0.4) {
        return format!("{}::{ty}", quote(&column.twins[draw.below(column.twins.len())]));
    }
    if draw.hit(0.2) || column.held.is_empty() {
        return format!("{}::{ty}", quote(draw.one(awkward(column.class))));
    }
    let held = quote(&column.held[draw.below(column.held.len())]);
    let typed = format!("{held}::{ty}");
    if draw.hit(0.75) {
        return typed;
    }
    match column.class {
        Class::Text | Class::Key => match draw.below(6) {
            0 => format!("upper({held})"),
            1 => format!("lower({held})"),
            2 => format!("left({held}, 15)"),
            3 => format!("{held} || ' '"),
            4 => format!("initcap({held})"),
            _ => format!("{held}::varchar"),
        },
        Class::Number => format!("{typed} {}", draw.one(&["+ 0.0000000001", "- 1", "* 1.0", "+ 1e-20"])),
        Class::Date => format!("({held}::timestamp + interval '1 day')::date"),
        Class::Moment => format!(
            "({typed} {} interval '{} microseconds')",
            draw.one(&["+", "-"]),
            draw.one(&["1", "500", "999", "1000"])
        ),
        _ => typed,
    }
}

/// A value of another type that Postgres compares with the column's.
pub fn stranger(draw: &mut Draw, column: &Column) -> String {
    let kinds: &[&str] = match column.class {
        Class::Number => &["2::int", "3::bigint", "0.5::float8", "100::smallint", "'Infinity'::float8"],
        Class::Whole => &["1.5", "0.5::float8", "9223372036854775807", "100::smallint", "-5000000.0", "1e30"],
        Class::Date => &[
            "'2000-02-29 12:00'::timestamp",
            "'2000-02-29 00:00+00'::timestamptz",
            "now() - interval '20 years'",
            "localtimestamp",
        ],
        Class::Moment => &["'2020-05-31'::date", "'2020-05-31 12:00'::timestamp", "current_date", "'infinity'::date"],
        Class::Text => &["'smith'::name", "'Smith'::varchar(3)", "'smith'::char(9)"],
        _ => return value(draw, column),
    };
    draw.one(kinds).to_owned()
}

/// A list of the column's type; of a list of choices's choices.
pub fn list(draw: &mut Draw, column: &Column) -> String {
    if column.class == Class::Several {
        let some: Vec<String> = (0..draw.below(3) + 1).map(|_| choice(draw, column)).collect();
        return format!("ARRAY[{}]", some.join(", "));
    }
    match draw.below(12) {
        0 => format!("'{{}}'::{}[]", column.ty),
        1 => format!("ARRAY[{}, NULL]::{}[]", value(draw, column), column.ty),
        _ => {
            let some: Vec<String> = (0..draw.below(4) + 1).map(|_| value(draw, column)).collect();
            format!("ARRAY[{}]::{}[]", some.join(", "), column.ty)
        }
    }
}

/// One choice of a list of choices.
pub fn choice(draw: &mut Draw, column: &Column) -> String {
    if column.held.is_empty() || draw.hit(0.15) {
        return draw.one(&["'A;B'", "''", "'a'", "'english'", "'No choice'", "'D''E'"]).to_owned() + "::text";
    }
    let held = quote(&column.held[draw.below(column.held.len())]);
    if draw.hit(0.15) { format!("lower({held})") } else { format!("{held}::text") }
}

/// A pattern for LIKE, of a value that the column holds as a rule.
pub fn pattern(draw: &mut Draw, column: &Column) -> String {
    if column.held.is_empty() || draw.hit(0.15) {
        let odd = ["%", "_", "", "%%", "_%", "a\\%%", "\\_%", "%\\\\%", "s%", "S%", "%é%", "É%", "%ß%", "x%", "%.com"];
        return quote(draw.one(&odd));
    }
    let held: Vec<char> = column.held[draw.below(column.held.len())].chars().collect();
    let cut = |from: usize, to: usize| -> String {
        let part: String = held[from.min(held.len())..to.min(held.len())].iter().collect();
        part.replace('\\', "\\\\")
    };
    let (middle, end) = (draw.below(held.len() + 1), held.len());
    let escaped = draw.hit(0.5);
    let literal = |text: String| if escaped { text.replace('%', "\\%").replace('_', "\\_") } else { text };
    let pattern = match draw.below(7) {
        0 => literal(cut(0, end)),
        1 | 2 => literal(cut(0, draw.below(4) + 1)) + "%",
        3 => format!("%{}", literal(cut(middle, end))),
        4 => format!("%{}%", literal(cut(middle, middle + 2))),
        5 => format!("{}_{}", literal(cut(0, middle)), literal(cut(middle + 1, end))),
        _ => format!("{}%{}", literal(cut(0, 1)), literal(cut(end.saturating_sub(1), end))),
    };
    match draw.below(8) {
        0 => quote(&pattern.to_uppercase()),
        1 => quote(&pattern.to_lowercase()),
        _ => quote(&pattern),
    }
}

/// The beginning of a value that the column holds as a rule.
pub fn beginning(draw: &mut Draw, column: &Column) -> String {
    let length = draw.below(4);
    match column.held.get(draw.below(column.held.len())) {
        Some(held) => quote(&held.chars().take(length).collect::<String>()),
        None => "'S'".to_owned(),
    }
}

fn awkward(class: Class) -> &'static [&'static str] {
    match class {
        Class::Text | Class::Several => TEXTS,
        Class::Key => KEYS,
        Class::Number => NUMBERS,
        Class::Whole => WHOLES,
        Class::Date => DATES,
        Class::Moment => MOMENTS,
        Class::Time => TIMES,
        Class::Flag => &["true", "false"],
        Class::Json => &["null", "{}", "{\"city\": \"Berlin\"}"],
    }
}
