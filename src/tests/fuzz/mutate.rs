//! Changing what was recorded: as text, as bytes, and as the JSON that it is.

/// Random numbers that a seed repeats: <https://prng.di.unimi.it/splitmix64.c>.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, and 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Values that are rare, or wrong, or at an edge.
const ODD: [&str; 62] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e0",
    "1E+2",
    "-0.0",
    "0.1e1",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
    "1e999",
    "-1e999",
    "1e-999",
    "1e999999999999",
    "5e-324",
    "0.00000000000000000000000000000000000000001",
    "123456789012345678.901234567890123456789",
    "\"\"",
    "\" \"",
    "\"0\"",
    "\"null\"",
    "\"true\"",
    "\"NaN\"",
    "\"-Infinity\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"😀\"",
    "\"\\\\u0000\"",
    "\"ﬃ\u{202e}\u{feff}\"",
    "\"a;b;;c;\"",
    "\";\"",
    "\"2024-02-30\"",
    "\"0000-00-00\"",
    "\"9999-12-31\"",
    "\"-4713-01-01\"",
    "\"2024-05-31T25:61:61.000+0000\"",
    "\"2024-05-31T12:34:56Z\"",
    "\"+275760-09-13T00:00:00.000Z\"",
    "\"24:00:00.000Z\"",
    "\"rec00000000000000\"",
    "\"recÄÄÄÄÄÄÄ\"",
    "\"003000000000001AAA\"",
    "\"/services/data/v62.0/query/01g-2000\"",
    "\"https://evil.example/x\"",
    "\"itr0/rec0\"",
    "[]",
    "{}",
    "[null]",
    "[[[]]]",
    "{\"\":{}}",
    "{\"error\":\"#ERROR!\"}",
    "{\"specialValue\":\"Infinity\"}",
];

/// JSON whose scalars are the texts that they came as.
#[derive(Clone)]
enum Json {
    Scalar(String),
    Array(Vec<Json>),
    /// Keys with their quotation marks.
    Object(Vec<(String, Json)>),
}

impl Json {
    fn parse(text: &str) -> Option<Json> {
        // What is no JSON is mutated as text alone.
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        let mut reader = Reader { text, at: 0 };
        Some(reader.value())
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Scalar(text) => out.push_str(text),
            Json::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Json::Scalar(_) => 0,
            Json::Array(items) => items.iter().map(Json::count).sum(),
            Json::Object(members) => members.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    /// The value at a place, counted through the tree.
    fn at(&mut self, place: usize) -> &mut Json {
        if place == 0 || matches!(self, Json::Scalar(_)) {
            return self;
        }
        let mut left = place - 1;
        let values: Vec<&mut Json> = match self {
            Json::Scalar(_) => Vec::new(),
            Json::Array(items) => items.iter_mut().collect(),
            Json::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        };
        for value in values {
            let count = value.count();
            if left < count {
                return value.at(left);
            }
            left -= count;
        }
        unreachable!("places are counted before")
    }

    fn mutate(&mut self, dice: &mut Dice) {
        let whole = self.count();
        let copy = self.clone().at(dice.below(whole)).clone();
        let place = dice.below(whole);
        let spot = self.at(place);
        match (dice.below(12), spot) {
            (0..=3, spot) => *spot = Json::Scalar((*dice.pick(&ODD)).to_owned()),
            (4, spot) => *spot = copy,
            (5, spot) => {
                let inner = std::mem::replace(spot, Json::Array(Vec::new()));
                *spot = match dice.below(3) {
                    0 => Json::Array(vec![inner]),
                    1 => Json::Object(vec![("\"value\"".to_owned(), inner)]),
                    _ => (0..dice.below(300)).fold(inner, |inner, _| Json::Array(vec![inner])),
                };
            }
            (6, Json::Scalar(text)) => *text = long(dice, text),
            (6 | 7, Json::Array(items)) if !items.is_empty() => {
                let again = dice.pick(items).clone();
                let times = if dice.one_in(20) { 3_000 } else { 1 + dice.below(5) };
                items.extend(std::iter::repeat_n(again, times));
            }
            (8 | 9, Json::Array(items)) if !items.is_empty() => drop(items.remove(dice.below(items.len()))),
            (8, Json::Object(members)) if !members.is_empty() => drop(members.remove(dice.below(members.len()))),
            (9, Json::Object(members)) if !members.is_empty() => members.push(dice.pick(members).clone()),
            (10, Json::Object(members)) if !members.is_empty() => {
                let key = dice.pick(members).0.clone();
                let at = dice.below(members.len());
                members[at].0 = match dice.below(3) {
                    0 => key,
                    1 => key.to_lowercase(),
                    _ => dice
                        .pick(&["\"\"", "\"x\"", "\"\\u0049d\"", "\"ID\"", "\"records\"", "\"__proto__\""])
                        .to_string(),
                };
            }
            (_, Json::Object(members)) if members.len() > 1 => {
                let (one, other) = (dice.below(members.len()), dice.below(members.len()));
                members.swap(one, other);
            }
            (_, spot) => *spot = Json::Scalar((*dice.pick(&ODD)).to_owned()),
        }
    }
}

/// A longer scalar of the same kind.
fn long(dice: &mut Dice, text: &str) -> String {
    let times = [10, 100, 5_000, 100_000][dice.below(4)];
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => format!(
            "\"{}\"",
            if inner.is_empty() { "ä" } else { inner }.repeat(times.min(2_000_000 / (inner.len() + 1)))
        ),
        None if text.ends_with(|last: char| last.is_ascii_digit()) => format!("{text}{}", "7".repeat(times)),
        None => text.to_owned(),
    }
}

/// Reads JSON that is known to be some.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> u8 {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    fn scalar(&mut self) -> String {
        self.peek();
        let mut values =
            serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<&serde_json::value::RawValue>();
        let text = values.next().and_then(Result::ok).map_or("", |value| value.get()).to_owned();
        self.at += text.len();
        text
    }

    fn value(&mut self) -> Json {
        match self.peek() {
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while self.peek() != b']' {
                    items.push(self.value());
                    self.at += usize::from(self.peek() == b',');
                }
                self.at += 1;
                Json::Array(items)
            }
            b'{' => {
                let mut members = Vec::new();
                self.at += 1;
                while self.peek() != b'}' {
                    let key = self.scalar();
                    self.at += usize::from(self.peek() == b':');
                    members.push((key, self.value()));
                    self.at += usize::from(self.peek() == b',');
                }
                self.at += 1;
                Json::Object(members)
            }
            _ => Json::Scalar(self.scalar()),
        }
    }
}

/// Changes a body.
pub fn body(dice: &mut Dice, body: &[u8]) -> Vec<u8> {
    let tree = std::str::from_utf8(body).ok().and_then(Json::parse).filter(|_| !dice.one_in(3));
    let Some(mut tree) = tree else { return bytes(dice, body) };
    for _ in 0..1 + dice.below(4) {
        tree.mutate(dice);
    }
    let mut text = String::new();
    tree.write(&mut text);
    if dice.one_in(20) { bytes(dice, text.as_bytes()) } else { text.into_bytes() }
}

/// Changes a text that is to stay one.
pub fn text(dice: &mut Dice, text: &str) -> String {
    if dice.one_in(3) {
        let odd = *dice.pick(&ODD);
        return odd.trim_matches('"').to_owned();
    }
    String::from_utf8_lossy(&bytes(dice, text.as_bytes())).into_owned()
}

/// Changes bytes, whatever they are.
pub fn bytes(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(40)).min(bytes.len());
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.insert(at, dice.below(256) as u8),
            5 => {
                let odd = *dice.pick(&ODD);
                bytes.splice(at..end, odd.bytes());
            }
            6 => {
                let piece = *dice.pick(&[
                    &b"{"[..],
                    b"[",
                    b"\"",
                    b"\\",
                    b",",
                    b":",
                    b"]",
                    b"}",
                    b"\0",
                    b"\xff",
                    b"\xf0\x9f",
                    b"\\u",
                ]);
                bytes.splice(at..at, piece.iter().copied());
            }
            _ if dice.one_in(10) => {
                let piece = *dice.pick(&[&b"["[..], b"{\"a\":", b" ", b"0", b",1"]);
                bytes.splice(at..at, piece.repeat(10_000));
            }
            _ => {}
        }
    }
    bytes
}
