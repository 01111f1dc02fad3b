//! Decimals to `numeric` datums without a text in between, and back to text without a call of Postgres.

use pgrx::pg_sys::{self, Datum};

/// From numeric.c, where it is the form on disk, and so the same in all versions: sign, decimal places and weight in one
/// word, then digits of base 10,000. The weight is that of the first digit: 10,000 to that power.
const SHORT: u16 = 0x8000;
const NEGATIVE: u16 = 0x2000;
const SCALE_SHIFT: u32 = 7;
const WEIGHT_SIGN: u16 = 0x0040;
const WEIGHT_MASK: u16 = 0x003f;
/// The bits that tell the short form from others: a long one, infinities and NaN.
const FORM: u16 = 0xc000;
/// Base 10,000.
const BASE_DIGITS: usize = 4;

/// The header of a value of variable length, in bytes.
const LENGTH: usize = 4;

/// Digits that any of the numbers takes, plus one.
const DIGITS: usize = 6;

/// `units × 10^-scale`, up to 63 decimal places; in the current memory context.
pub fn datum(units: i64, scale: u8) -> Datum {
    let (words, count) = words(units, scale);
    let length = LENGTH + count * size_of::<u16>();
    // SAFETY: returns memory of the size asked for, aligned for any type, or raises.
    let datum = unsafe { pg_sys::palloc(length) };
    // SAFETY: fresh memory of at least the size of the header.
    unsafe { pgrx::set_varsize_4b(datum.cast(), length as i32) };
    // SAFETY: room for as many words behind the header, which keeps them aligned.
    unsafe { datum.cast::<u16>().add(LENGTH / size_of::<u16>()).copy_from_nonoverlapping(words.as_ptr(), count) };
    Datum::from(datum)
}

/// The words behind the header, and how many of them count.
fn words(units: i64, scale: u8) -> ([u16; DIGITS + 1], usize) {
    let mut digits = [0; DIGITS];
    let mut rest = units.unsigned_abs();
    // Digits to the left of the point begin there, so the last one behind it may be short.
    let behind = i32::from(scale.div_ceil(4));
    let odd = u32::from(scale % 4);
    // From the last to the first; zeros at the end are not kept.
    let (mut first, mut weight) = (DIGITS, -behind - 1);
    let mut base = if odd == 0 { 10_000 } else { 10u64.pow(odd) };
    while rest > 0 {
        let digit = rest % base * (10_000 / base);
        rest /= base;
        base = 10_000;
        weight += 1;
        if digit > 0 || first < DIGITS {
            first -= 1;
            digits[first] = digit as u16;
        }
    }
    let count = DIGITS - first;
    let weight = if count == 0 { 0 } else { weight };
    let sign = if units < 0 { NEGATIVE } else { 0 };
    let weight_sign = if weight < 0 { WEIGHT_SIGN } else { 0 };
    let mut words = [0; DIGITS + 1];
    words[0] = SHORT | sign | u16::from(scale) << SCALE_SHIFT | weight_sign | (weight as u16 & WEIGHT_MASK);
    words[1..=count].copy_from_slice(&digits[first..]);
    (words, count + 1)
}

/// A numeric's bytes, without their length, as the text that `numeric_out` makes of them; `None` for those that are not
/// of the short form.
pub fn text(bytes: &[u8]) -> Option<String> {
    let (words, _) = bytes.as_chunks::<2>();
    let (header, digits) = words.split_first()?;
    let header = u16::from_ne_bytes(*header);
    if header & FORM != SHORT {
        return None;
    }
    let scale = usize::from((header & !FORM & !NEGATIVE) >> SCALE_SHIFT);
    let weight = i32::from(header & WEIGHT_MASK) - if header & WEIGHT_SIGN != 0 { 64 } else { 0 };
    // Digit groups at both ends may be left out.
    let group = |power: i32| {
        let digit = usize::try_from(weight - power).ok().and_then(|at| digits.get(at));
        let mut group = digit.map_or(0, |digit| u16::from_ne_bytes(*digit));
        let mut letters = [b'0'; BASE_DIGITS];
        for letter in letters.iter_mut().rev() {
            *letter += (group % 10) as u8;
            group /= 10;
        }
        letters.map(char::from)
    };
    let mut text = String::with_capacity(2 + (digits.len() + 1) * BASE_DIGITS + scale);
    if header & NEGATIVE != 0 {
        text.push('-');
    }
    let whole = (0..=weight.max(0)).rev().flat_map(group);
    let sign = text.len();
    text.extend(whole.skip_while(|letter| *letter == '0'));
    if text.len() == sign {
        text.push('0');
    }
    if scale > 0 {
        text.push('.');
        text.extend((1..).flat_map(|behind| group(-behind)).take(scale));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `SELECT encode(numeric_send(…))` would show, in the order of the form on disk.
    fn parts(units: i64, scale: u8) -> (bool, u16, i16, Vec<u16>) {
        let (words, count) = words(units, scale);
        let header = words[0];
        let weight = (header & WEIGHT_MASK) as i16 - if header & WEIGHT_SIGN != 0 { 64 } else { 0 };
        (header & NEGATIVE != 0, (header & 0x1f80) >> SCALE_SHIFT, weight, words[1..count].to_vec())
    }

    #[test]
    fn digits_of_base_10_000_begin_at_the_point() {
        for (units, scale, weight, digits) in [
            (0, 0, 0, vec![]),
            (0, 2, 0, vec![]),
            (1, 0, 0, vec![1]),
            (150, 2, 0, vec![1, 5000]),
            (-5, 2, -1, vec![500]),
            (5, 5, -2, vec![5000]),
            (10_000, 0, 1, vec![1]),
            (10_001, 0, 1, vec![1, 1]),
            (123_456_789, 4, 1, vec![1, 2345, 6789]),
            (10_000, 4, 0, vec![1]),
            (100_000_000, 8, 0, vec![1]),
            (999_999_999_999_999_999, 17, 0, vec![9, 9999, 9999, 9999, 9999, 9000]),
            (999_999_999_999_999_999, 18, -1, vec![9999, 9999, 9999, 9999, 9900]),
            (-999_999_999_999_999_999, 0, 4, vec![99, 9999, 9999, 9999, 9999]),
        ] {
            assert_eq!(parts(units, scale), (units < 0, scale.into(), weight, digits), "{units} at {scale}");
        }
    }

    #[test]
    fn decimals_come_back_with_all_their_digits() {
        for (units, scale, expected) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (1, 0, "1"),
            (150, 2, "1.50"),
            (-5, 2, "-0.05"),
            (5, 5, "0.00005"),
            (10_000, 0, "10000"),
            (10_000, 4, "1.0000"),
            (100_000_000, 8, "1.00000000"),
            (100_000_000, 0, "100000000"),
            (123_456_789, 4, "12345.6789"),
            (999_999_999_999_999_999, 18, "0.999999999999999999"),
            (-999_999_999_999_999_999, 0, "-999999999999999999"),
        ] {
            let (words, count) = words(units, scale);
            let bytes: Vec<_> = words[..count].iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert_eq!(text(&bytes).as_deref(), Some(expected), "{units} at {scale}");
        }
        for other in [0xc000u16, 0xd000, 0xf000, 0x0000, 0x4002] {
            assert_eq!(text(&[other.to_ne_bytes(), [0, 0]].concat()), None);
        }
        assert_eq!(text(&[]), None);
    }
}
