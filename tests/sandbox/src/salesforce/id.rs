//! Record ids: a three-character key prefix, twelve characters of base 62, and a three-character checksum that
//! carries the case of the fifteen before it.

use std::fmt;

/// An id in its 18-character form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 18]);

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// The organisation's part between prefix and number.
const POD: &[u8; 3] = b"RO0";
/// Numbers begin here, so that ids look lived-in and their last characters differ in case alone now and then.
const FIRST: u64 = 0x35_0000;

impl Id {
    pub fn new(prefix: [u8; 3], number: u64) -> Id {
        let mut id = [b'0'; 18];
        id[..3].copy_from_slice(&prefix);
        id[3..6].copy_from_slice(POD);
        let mut rest = number + FIRST;
        for slot in id[6..15].iter_mut().rev() {
            *slot = BASE62[(rest % 62) as usize];
            rest /= 62;
        }
        seal(&mut id);
        Id(id)
    }

    /// Accepts 15 characters, or 18 with the right checksum.
    pub fn parse(text: &str) -> Option<Id> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 15 | 18) || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mut id = [0; 18];
        id[..15].copy_from_slice(&bytes[..15]);
        seal(&mut id);
        (bytes.len() == 15 || bytes == id).then_some(Id(id))
    }

    pub fn prefix(self) -> [u8; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }

    /// The number that `new` was given, if the id is of this organisation.
    pub fn number(self) -> Option<u64> {
        if self.0[3..6] != *POD {
            return None;
        }
        let digit = |b: u8| match b {
            b'0'..=b'9' => b - b'0',
            b'A'..=b'Z' => b - b'A' + 10,
            _ => b - b'a' + 36,
        };
        self.0[6..15].iter().fold(0u64, |n, b| n * 62 + u64::from(digit(*b))).checked_sub(FIRST)
    }

    pub fn bytes(&self) -> &[u8; 18] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
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

/// Each checksum character tells which of five characters are capitals.
fn seal(id: &mut [u8; 18]) {
    for part in 0..3 {
        let bits = (0..5).fold(0usize, |bits, i| bits | usize::from(id[part * 5 + i].is_ascii_uppercase()) << i);
        id[15 + part] = CHECKSUM[bits];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_documented_one() {
        assert_eq!(Id::parse("003RO0000035WQg").unwrap().as_str(), "003RO0000035WQgYAM");
        assert_eq!(Id::parse("00Dxx0000001gER").unwrap().as_str(), "00Dxx0000001gEREAY");
    }

    #[test]
    fn an_id_gives_its_number_back_and_orders_by_it() {
        let ids: Vec<Id> = (0..200).map(|n| Id::new(*b"003", n)).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(ids[137].number(), Some(137));
        assert_eq!(Id::parse(ids[137].as_str()), Some(ids[137]));
    }

    #[test]
    fn malformed_ids_are_refused() {
        assert!(Id::parse("003RO0000035WQgYAN").is_none(), "wrong checksum");
        assert!(Id::parse("003RO0000035WQ-").is_none() && Id::parse("003").is_none() && Id::parse("").is_none());
    }
}
