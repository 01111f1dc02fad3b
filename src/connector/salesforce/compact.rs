//! Pages in the form in which Salesforce writes them: no white space, fields in the order in which they were asked for.
//!
//! Reading that form takes little more than comparing keys and finding where texts end. Whatever looks otherwise is
//! declined: a single value is then read by [`super::decode`], and a page with any other surprise as a whole, since
//! only there all of JSON is known and errors are worded. So nothing here may take for good what is not.

use std::ops::Range;

use serde_json::value::RawValue;

use super::decode::{self, QueryPage};
use crate::error::Result;
use crate::query::page::{Cell, Span, Table};
use crate::schema::Field;
use crate::value::{Type, fixed, parse_date, parse_instant, parse_time};

/// What stands before the records of a page, and behind them.
#[derive(Debug, Default)]
struct Frame {
    total: Option<u64>,
    done: Option<bool>,
    /// The link to the next page.
    next: Option<String>,
}

/// The most records that a page has: room is made for no more at once.
const MOST_ROWS: usize = 2_000;

/// The link to the next page, where it stands before the records: known before they are read.
pub fn next_link(body: &[u8]) -> Option<String> {
    // Far more than it takes; a letter may be cut in two at the end.
    let start = &body[..body.len().min(4_096)];
    let whole = std::str::from_utf8(start).map_or_else(|error| error.valid_up_to(), str::len);
    let mut reader = Reader { text: std::str::from_utf8(&start[..whole]).ok()?, at: 0 };
    let mut frame = Frame::default();
    reader.must("{")?;
    while !reader.eat("\"records\":") {
        reader.framed(&mut frame)?;
        reader.must(",")?;
    }
    frame.next.filter(|_| frame.done == Some(false))
}

/// Reads one answer to a query. `room` is used for its cells.
pub fn page(body: &[u8], fields: &[Field], room: Vec<Cell>) -> Result<QueryPage> {
    match simdutf8::basic::from_utf8(body).ok().and_then(|text| compact(text, fields, room)) {
        Some(page) => Ok(page),
        None => decode::page(body, fields),
    }
}

/// A whole page; `None` if it is of another form.
fn compact(text: &str, fields: &[Field], room: Vec<Cell>) -> Option<QueryPage> {
    let wanted: Vec<_> = fields.iter().map(Wanted::new).collect();
    // Two columns of one field would share its bytes.
    let twin = |at: usize| fields[at + 1..].iter().any(|other| other.name.eq_ignore_ascii_case(&fields[at].name));
    if (0..fields.len()).any(twin) {
        return None;
    }
    let mut reader = Reader { text, at: 0 };
    let (mut frame, mut table, mut room) = (Frame::default(), None, Some(room));
    reader.must("{")?;
    loop {
        if reader.eat("\"records\":") {
            table = Some(reader.records(&wanted, room.take()?)?);
        } else {
            reader.framed(&mut frame)?;
        }
        if !reader.more("}")? {
            break;
        }
    }
    let Frame { total, done, next } = frame;
    (reader.at == text.len()).then_some(QueryPage { total: total?, done: done?, next, table: table? })
}

/// A field that is asked for.
struct Wanted<'a> {
    field: &'a Field,
    /// `,"Name":`
    lead: Pattern,
    /// Whether it may be null.
    nullable: bool,
}

impl<'a> Wanted<'a> {
    fn new(field: &'a Field) -> Self {
        let lead = Pattern::new(&format!(",\"{}\":", field.name));
        Wanted { field, lead, nullable: field.remote_type != "boolean" }
    }
}

/// A short text that is compared very often: by words, since calling a function for it takes longer.
struct Pattern {
    /// Eight bytes each, and which of them count.
    words: Vec<(u64, u64)>,
    /// In bytes.
    len: usize,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let word = |bytes: &[u8]| {
            let mut word = [[0; 8]; 2];
            word[0][..bytes.len()].copy_from_slice(bytes);
            word[1][..bytes.len()].fill(u8::MAX);
            (u64::from_le_bytes(word[0]), u64::from_le_bytes(word[1]))
        };
        Pattern { words: text.as_bytes().chunks(8).map(word).collect(), len: text.len() }
    }

    /// Whether `bytes` begin with it. Not seen in the last few bytes of all.
    #[inline]
    fn begins(&self, bytes: &[u8]) -> bool {
        let (chunks, _) = bytes.as_chunks::<8>();
        let same = |((word, counts), chunk): (&(u64, u64), &[u8; 8])| (u64::from_le_bytes(*chunk) ^ word) & counts == 0;
        chunks.len() >= self.words.len() && self.words.iter().zip(chunks).all(same)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// `None`: not in the expected form. Where it says that it reads, it has moved on only if it has read.
impl<'a> Reader<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    #[inline]
    fn eat(&mut self, expected: &str) -> bool {
        let end = self.at + expected.len();
        let found = self.bytes().get(self.at..end) == Some(expected.as_bytes());
        if found {
            self.at = end;
        }
        found
    }

    fn must(&mut self, expected: &str) -> Option<()> {
        self.eat(expected).then_some(())
    }

    /// Steps over what comes after an element: a comma, or the end of them all.
    fn more(&mut self, end: &str) -> Option<bool> {
        if self.eat(",") { Some(true) } else { self.must(end).map(|()| false) }
    }

    /// A key of the frame, and its value.
    fn framed(&mut self, frame: &mut Frame) -> Option<()> {
        if frame.total.is_none() && self.eat("\"totalSize\":") {
            frame.total = Some(u64::try_from(self.whole()?).ok()?);
        } else if frame.done.is_none() && self.eat("\"done\":") {
            frame.done = Some(self.flag()?);
        } else if frame.next.is_none() && self.eat("\"nextRecordsUrl\":") {
            frame.next = Some(self.text[self.string()?].to_owned());
        } else {
            return None;
        }
        Some(())
    }

    fn records(&mut self, wanted: &[Wanted<'_>], room: Vec<Cell>) -> Option<Table> {
        let mut table = Table { cells: room, ..Table::default() };
        self.must("[")?;
        if self.eat("]") {
            return Some(table);
        }
        let (mut head, mut skipped) = ("", "");
        loop {
            let start = self.at;
            self.record(wanted, &mut head, &mut skipped, &mut table)?;
            table.rows += 1;
            if table.rows == 1 {
                let rows = (self.text.len() - start) / (self.at - start);
                table.cells.reserve(wanted.len() * rows.min(MOST_ROWS));
            }
            if !self.more("]")? {
                return Some(table);
            }
        }
    }

    /// One record: the wanted fields in order, and others in between.
    ///
    /// `head` is for [`Reader::attributes`]. `skipped` is the last key that was none of the wanted: it is mostly the same
    /// in every record.
    fn record(
        &mut self,
        wanted: &[Wanted<'_>],
        head: &mut &'a str,
        skipped: &mut &'a str,
        table: &mut Table,
    ) -> Option<()> {
        let mut rest = wanted.iter();
        let mut next = rest.next();
        let mut begun = self.attributes(head);
        if !begun {
            self.must("{")?;
        }
        loop {
            while let Some(wanted) = next.filter(|wanted| begun && self.follows(&wanted.lead)) {
                self.cell(wanted, table)?;
                next = rest.next();
            }
            if begun && !self.more("}")? {
                return next.is_none().then_some(());
            }
            begun = true;
            let key = &self.text[self.string()?];
            self.must(":")?;
            let is_key = |wanted: &Wanted<'_>| wanted.field.name.eq_ignore_ascii_case(key);
            if let Some(wanted) = next.filter(|wanted| is_key(wanted)) {
                self.cell(wanted, table)?;
                next = rest.next();
            } else {
                if key != *skipped && wanted.iter().any(is_key) {
                    return None;
                }
                *skipped = key;
                self.skip()?;
            }
        }
    }

    /// Steps over the attributes with which a record begins: `{"attributes":{"type":"Contact","url":"/services/…"}`.
    ///
    /// `head` is how the record before began, up to where its last text did. Whether they are there.
    fn attributes(&mut self, head: &mut &'a str) -> bool {
        let start = self.at;
        let mut read = || {
            if head.is_empty() || !self.eat(head) {
                self.must("{\"attributes\":{")?;
                loop {
                    self.string()?;
                    self.must(":\"")?;
                    *head = &self.text[start..self.at];
                    self.plain()?;
                    if !self.more("}")? {
                        return Some(());
                    }
                }
            }
            self.plain()?;
            self.must("}")
        };
        let read = read().is_some();
        if !read {
            self.at = start;
        }
        read
    }

    #[inline]
    fn follows(&mut self, pattern: &Pattern) -> bool {
        let follows = pattern.begins(&self.bytes()[self.at..]);
        if follows {
            self.at += pattern.len;
        }
        follows
    }

    /// Reads a value. Each cell is pushed where it is made: carried there as a whole it would take twice the time.
    #[inline]
    fn cell(&mut self, wanted: &Wanted<'_>, table: &mut Table) -> Option<()> {
        let cells = &mut table.cells;
        let done = match wanted.field.ty {
            // Whatever is no string comes below.
            Type::Text if self.peek() == Some(b'"') => {
                let span = self.string().and_then(|text| Span::new(text.start, text.end));
                span.map(|span| cells.push(Cell::Text(span)))
            }
            _ if wanted.nullable && self.eat("null") => {
                cells.push(Cell::Null);
                Some(())
            }
            Type::Bool => self.flag().map(|flag| cells.push(Cell::Bool(flag))),
            Type::Int => self.whole().map(|number| cells.push(Cell::Int(number))),
            Type::Decimal => self.number().map(|(units, scale)| cells.push(Cell::Decimal { units, scale })),
            Type::Date => {
                let days = self.exactly(fixed::date).or_else(|| self.parsed(parse_date));
                days.map(|days| cells.push(Cell::Date(days)))
            }
            Type::Time => self.parsed(parse_time).map(|micros| cells.push(Cell::Time(micros))),
            Type::Instant => {
                let micros = self.exactly(fixed::instant_with_offset).or_else(|| self.parsed(parse_instant));
                micros.map(|micros| cells.push(Cell::Instant(micros)))
            }
            _ => None,
        };
        done.or_else(|| self.odd(wanted.field, table))
    }

    /// Reads a value of any form, of which nothing has been read yet.
    #[cold]
    fn odd(&mut self, field: &Field, table: &mut Table) -> Option<()> {
        let value = decode::read_cell(field, self.raw()?).ok()?;
        let cell = Cell::of(value, &mut table.values);
        table.cells.push(cell);
        Some(())
    }

    /// Reads a string of a known length, all of which `parse` must know.
    #[inline]
    fn exactly<const N: usize, T>(&mut self, parse: impl Fn(&[u8; N]) -> Option<T>) -> Option<T> {
        let (text, rest) = self.bytes()[self.at..].strip_prefix(b"\"")?.split_first_chunk::<N>()?;
        let parsed = parse(text).filter(|_| rest.first() == Some(&b'"'));
        if parsed.is_some() {
            self.at += N + 2;
        }
        parsed
    }

    fn parsed<T>(&mut self, parse: impl Fn(&str) -> Result<T>) -> Option<T> {
        let start = self.at;
        let parsed = self.string().and_then(|text| parse(&self.text[text]).ok());
        if parsed.is_none() {
            self.at = start;
        }
        parsed
    }

    fn flag(&mut self) -> Option<bool> {
        if self.eat("true") { Some(true) } else { self.must("false").map(|()| false) }
    }

    fn whole(&mut self) -> Option<i64> {
        let start = self.at;
        match self.number() {
            Some((number, 0)) => Some(number),
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// Steps over a value.
    fn skip(&mut self) -> Option<()> {
        let start = self.at;
        if self.texts().is_some() {
            return Some(());
        }
        self.at = start;
        self.raw().map(drop)
    }

    /// Steps over a string, or an object of strings, such as `attributes` are.
    fn texts(&mut self) -> Option<()> {
        if !self.eat("{") {
            return self.string().map(drop);
        }
        loop {
            self.string()?;
            self.must(":")?;
            self.string()?;
            if !self.more("}")? {
                return Some(());
            }
        }
    }

    /// Reads a value as the JSON text that it is.
    fn raw(&mut self) -> Option<&'a str> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<&'a RawValue>();
        let raw = values.next()?.ok()?.get();
        self.at += values.byte_offset();
        Some(raw)
    }

    /// Reads a string that has no escapes: where its text stands.
    #[inline]
    fn string(&mut self) -> Option<Range<usize>> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let text = self.plain();
        if text.is_none() {
            self.at -= 1;
        }
        text
    }

    /// Reads the rest of such a string, without its first quotation mark.
    #[inline]
    fn plain(&mut self) -> Option<Range<usize>> {
        let (start, rest) = (self.at, &self.bytes()[self.at..]);
        let end = first_special(rest)?;
        if rest[end] != b'"' {
            return None;
        }
        self.at += end + 1;
        Some(start..start + end)
    }

    /// Reads a number without exponent, of up to 18 digits, as units and decimal places. A negative zero is none.
    #[inline]
    fn number(&mut self) -> Option<(i64, u8)> {
        let rest = &self.bytes()[self.at..];
        let negative = rest.first() == Some(&b'-');
        let digits = &rest[usize::from(negative)..];
        let (mut units, mut at, mut point) = (0i64, 0, None);
        loop {
            match digits.get(at)? {
                digit @ b'0'..=b'9' if at < 18 + usize::from(point.is_some()) => {
                    units = units * 10 + i64::from(digit - b'0');
                }
                b'.' if point.is_none() => point = Some(at),
                b',' | b'}' => break,
                _ => return None,
            }
            at += 1;
        }
        let whole = point.unwrap_or(at);
        let scale = point.map_or(0, |point| at - point - 1);
        let leading_zero = whole > 1 && digits[0] == b'0';
        if whole == 0 || leading_zero || point.is_some() && scale == 0 || negative && units == 0 {
            return None;
        }
        self.at += usize::from(negative) + at;
        Some((if negative { -units } else { units }, u8::try_from(scale).ok()?))
    }
}

/// Where the plain part of a JSON string ends: at a quotation mark, a backslash or a control character.
#[inline]
fn first_special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = specials(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    rest.iter().position(special).map(|at| bytes.len() - rest.len() + at)
}

/// Marks the first special byte of a word by its highest bit. Marks behind it may be wrong.
/// <https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let is = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    (is(b'"') | is(b'\\') | word.wrapping_sub(ONES * 0x20)) & !word & (ONES << 7)
}
