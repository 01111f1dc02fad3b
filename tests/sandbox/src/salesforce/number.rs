//! Decimal numbers, exact: a float on the way would hide a client's rounding errors.

use std::cmp::Ordering;

/// `digits / 10^scale`. Two spellings of one number are equal.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: i128,
    scale: u32,
}

/// More than any field has; keeps the arithmetic within `i128`.
const MAX_DIGITS: usize = 36;

impl Decimal {
    pub const fn new(digits: i128, scale: u32) -> Decimal {
        Decimal { digits, scale }
    }

    /// Reads `-12.50`, and `1.25E3` where `exponent` allows it.
    pub fn parse(text: &str, exponent: bool) -> Option<Decimal> {
        let (mantissa, power) = match text.find(['e', 'E']) {
            Some(at) if exponent => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            Some(_) => return None,
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > MAX_DIGITS {
            return None;
        }
        let mut digits: i128 = 0;
        for c in whole.bytes().chain(fraction.bytes()) {
            if !c.is_ascii_digit() {
                return None;
            }
            digits = digits * 10 + i128::from(c - b'0');
        }
        let scale = fraction.len() as i32 - power;
        if !(-18..=MAX_DIGITS as i32).contains(&scale) {
            return None;
        }
        if scale < 0 {
            digits = digits.checked_mul(power_of_ten(scale.unsigned_abs()))?;
        }
        Some(Decimal { digits: if negative { -digits } else { digits }, scale: scale.max(0) as u32 })
    }

    /// Rounded half up (away from zero) to `scale` digits after the point.
    pub fn round(self, scale: u32) -> Decimal {
        if self.scale <= scale {
            return self;
        }
        let unit = power_of_ten(self.scale - scale);
        let half = if self.digits < 0 { -unit / 2 } else { unit / 2 };
        Decimal { digits: (self.digits + half) / unit, scale }
    }

    /// Digits before the point.
    pub fn whole_digits(self) -> u32 {
        let whole = (self.digits / power_of_ten(self.scale)).unsigned_abs();
        if whole == 0 { 0 } else { whole.ilog10() + 1 }
    }

    pub fn is_whole(self) -> bool {
        self.digits % power_of_ten(self.scale) == 0
    }

    pub fn is_negative(self) -> bool {
        self.digits < 0
    }

    pub fn plus(self, other: Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        Decimal { digits: self.at(scale).saturating_add(other.at(scale)), scale }
    }

    pub fn times(self, other: Decimal) -> Decimal {
        Decimal { digits: self.digits.saturating_mul(other.digits), scale: self.scale + other.scale }
    }

    /// The quotient with up to 12 digits after the point more than the dividend has.
    pub fn divided_by(self, count: u64) -> Decimal {
        let scale = (self.scale + 12).min(24);
        let digits = self.at(scale);
        let count = i128::from(count.max(1));
        let half = if digits < 0 { -count / 2 } else { count / 2 };
        Decimal { digits: (digits + half) / count, scale }
    }

    fn at(self, scale: u32) -> i128 {
        self.digits.saturating_mul(power_of_ten(scale - self.scale))
    }

    fn reduced(self) -> Decimal {
        let mut it = self;
        while it.scale > 0 && it.digits % 10 == 0 {
            it.digits /= 10;
            it.scale -= 1;
        }
        it
    }

    /// A key that is the same for equal numbers.
    pub fn key(self) -> (i128, u32) {
        let it = self.reduced();
        (it.digits, it.scale)
    }

    /// Writes it as an `xsd:int`.
    pub fn write_whole(self, out: &mut Vec<u8>) {
        write_integer(self.digits / power_of_ten(self.scale), out);
    }

    /// Writes it as an `xsd:double`: at least one digit after the point; with `exponent`, numbers from 10^7 up and
    /// below 10^-3 read `1.0E7`, the form in which the JVM prints doubles (contract, section 4).
    pub fn write_double(self, exponent: bool, out: &mut Vec<u8>) {
        let it = self.reduced();
        if it.digits < 0 {
            out.push(b'-');
        }
        let mut digits = Vec::with_capacity(40);
        write_integer(it.digits.abs(), &mut digits);
        let scale = it.scale as usize;
        if exponent && it.digits != 0 {
            let power = digits.len() as i32 - 1 - scale as i32;
            if !(-3..7).contains(&power) {
                out.push(digits[0]);
                out.push(b'.');
                let rest = &digits[1..];
                let rest = &rest[..rest.iter().rposition(|d| *d != b'0').map_or(0, |at| at + 1)];
                out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
                out.push(b'E');
                write_integer(i128::from(power), out);
                return;
            }
        }
        if digits.len() <= scale {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(&digits);
        } else {
            let point = digits.len() - scale;
            out.extend_from_slice(&digits[..point]);
            out.push(b'.');
            out.extend_from_slice(if scale == 0 { b"0" } else { &digits[point..] });
        }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }
}

fn power_of_ten(n: u32) -> i128 {
    10_i128.checked_pow(n).unwrap_or(i128::MAX)
}

fn write_integer(number: i128, out: &mut Vec<u8>) {
    let mut digits = [0u8; 40];
    let mut at = digits.len();
    // 64-bit division is several times as fast as 128-bit, and nearly all numbers fit.
    if let Ok(mut rest) = u64::try_from(number.unsigned_abs()) {
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
    } else {
        let mut rest = number.unsigned_abs();
        while rest > 0 {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(text: &str, exponent: bool) -> String {
        let mut out = Vec::new();
        Decimal::parse(text, true).unwrap().write_double(exponent, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_written_as_the_api_writes_them() {
        assert_eq!(double("100", false), "100.0");
        assert_eq!(double("100000000", true), "1.0E8");
        assert_eq!(double("9999999.5", true), "9999999.5");
        assert_eq!(double("-12345678.90", true), "-1.23456789E7");
        assert_eq!(double("0.0005", true), "5.0E-4");
        assert_eq!(double("0.001", true), "0.001");
        assert_eq!(double("0.0005", false), "0.0005");
        assert_eq!(double("0", true), "0.0");
        assert_eq!(double("1.25E3", false), "1250.0");
    }

    #[test]
    fn numbers_compare_by_value_and_round_half_up() {
        let number = |t| Decimal::parse(t, false).unwrap();
        assert_eq!(number("1.50"), number("1.5"));
        assert!(number("-2") < number("-1.999999999999999999"));
        assert_eq!(number("2.345").round(2), number("2.35"));
        assert_eq!(number("-2.345").round(2), number("-2.35"));
        assert_eq!(number("999.99").whole_digits(), 3);
        assert!(
            Decimal::parse("1e5", false).is_none()
                && Decimal::parse("1.x", false).is_none()
                && Decimal::parse(".", false).is_none()
        );
    }

    #[test]
    fn an_average_is_divided_decimally() {
        let mut out = Vec::new();
        Decimal::new(10, 0).divided_by(4).write_double(true, &mut out);
        assert_eq!(out, b"2.5");
    }
}
