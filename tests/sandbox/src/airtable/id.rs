//! Ids: three letters for the kind, then 14 of base 62.

use std::fmt;

use crate::draw::hash;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 17]);

impl Id {
    /// The same id for the same seed.
    pub fn new(kind: &str, seed: u64) -> Id {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut it = [b'0'; 17];
        it[..3].copy_from_slice(&kind.as_bytes()[..3]);
        // Two draws, since one has not bits enough for 14 digits.
        let mut draws = [hash(seed ^ 0x6169_7274), hash(seed.wrapping_add(0x9e37_79b9_7f4a_7c15))];
        for (at, slot) in it[3..].iter_mut().enumerate() {
            let draw = &mut draws[at % 2];
            *slot = DIGITS[(*draw % 62) as usize];
            *draw /= 62;
        }
        Id(it)
    }

    /// The same id for the same name, whatever the sandbox's seed.
    pub fn named(kind: &str, name: &str) -> Id {
        let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Id::new(kind, name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold))
    }

    /// An id of this kind, if the text is one.
    pub fn parse(kind: &str, text: &str) -> Option<Id> {
        let bytes: [u8; 17] = text.as_bytes().try_into().ok()?;
        (text.starts_with(kind) && bytes.iter().all(u8::is_ascii_alphanumeric)).then_some(Id(bytes))
    }

    pub fn as_str(&self) -> &str {
        // Made of ASCII alone.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_kind_and_are_read_back() {
        let id = Id::named("rec", "x");
        assert_eq!(id.as_str().len(), 17);
        assert_eq!(Id::parse("rec", id.as_str()), Some(id));
        assert_eq!(Id::parse("tbl", id.as_str()), None);
        assert_eq!(Id::parse("rec", "rec-2345678901234"), None);
        assert_ne!(Id::named("rec", "y"), id);
    }
}
