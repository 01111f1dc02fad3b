//! Decimal numbers by their digits, so that none is lost on the way between `numeric` and SOQL.
//!
//! Postgres may hand over `1E+3`; SOQL documents plain digits only. And Salesforce may send `1.0E8` for
//! an integer. Neither passes through a float here.

/// `0.DIGITS × 10^point`, negative or not. No zeros at either end of the digits; zero has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    digits: String,
    point: i64,
}

/// Exponents beyond this are all the same: far outside of everything.
const FAR: i64 = 1_000_000_000;

impl Number {
    /// Reads sign, digits, point and exponent; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let point = i64::try_from(whole.len()).ok()? + exponent;
        Some(Number::trimmed(negative, format!("{whole}{fraction}"), point))
    }

    fn trimmed(negative: bool, digits: String, point: i64) -> Self {
        let kept = digits.trim_start_matches('0');
        let cut = digits.len() - kept.len();
        let kept = kept.trim_end_matches('0');
        if kept.is_empty() {
            return Number { negative: false, digits: String::new(), point: 0 };
        }
        Number { negative, digits: kept.to_owned(), point: point - cut as i64 }
    }

    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Digits before the point; negative if zeros follow the point.
    pub fn magnitude(&self) -> i64 {
        self.point
    }

    /// The largest number with at most `places` decimal places that is not above this one, and whether
    /// it is this one.
    pub fn floor(&self, places: u32) -> (Number, bool) {
        let kept = usize::try_from(self.point + i64::from(places)).unwrap_or(0);
        if kept >= self.digits.len() {
            return (self.clone(), true);
        }
        let cut = &self.digits[..kept];
        if !self.negative {
            return (Number::trimmed(false, cut.to_owned(), self.point), false);
        }
        // One unit of the last place away from zero.
        let nines = cut.bytes().rev().take_while(|byte| *byte == b'9').count();
        let (digits, point) = match cut.as_bytes()[..kept - nines].split_last() {
            Some((last, before)) => {
                let mut digits = String::from_utf8_lossy(before).into_owned();
                digits.push(char::from(last + 1));
                (digits, self.point)
            }
            None => ("1".to_owned(), kept as i64 - i64::from(places) + 1),
        };
        (Number::trimmed(true, digits, point), false)
    }

    /// The number without fraction, if it is one and fits.
    pub fn integer(&self) -> Option<i128> {
        if self.point > 38 || !self.floor(0).1 {
            return None;
        }
        self.plain().parse().ok()
    }

    /// Sign, digits and point; never an exponent. Check [`Number::magnitude`] first: this one writes every zero.
    pub fn plain(&self) -> String {
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        let mut text = String::from(if self.negative { "-" } else { "" });
        match usize::try_from(self.point) {
            Ok(whole) if whole >= self.digits.len() => {
                text.push_str(&self.digits);
                text.extend(std::iter::repeat_n('0', whole - self.digits.len()));
            }
            Ok(whole) if whole > 0 => {
                text.push_str(&self.digits[..whole]);
                text.push('.');
                text.push_str(&self.digits[whole..]);
            }
            _ => {
                text.push_str("0.");
                text.extend(std::iter::repeat_n('0', self.point.unsigned_abs() as usize));
                text.push_str(&self.digits);
            }
        }
        text
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if bare.is_empty() || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = bare.parse::<i64>().unwrap_or(FAR).min(FAR);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> String {
        Number::parse(text).unwrap().plain()
    }

    #[test]
    fn exponents_are_written_out_and_needless_zeros_are_dropped() {
        for (text, expanded) in [
            ("0", "0"),
            ("-0.000", "0"),
            ("+5", "5"),
            ("1E+3", "1000"),
            ("-0.5e-7", "-0.00000005"),
            ("1.50", "1.5"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("123.456e1", "1234.56"),
            ("123456e-3", "123.456"),
            ("0.001", "0.001"),
        ] {
            assert_eq!(plain(text), expanded, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "1x", "NaN", "Infinity", "1.2.3", "0x10", "1 ", "١"] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn absurd_exponents_cost_nothing() {
        let huge = Number::parse("1e99999999999999999999").unwrap();
        assert!(huge.magnitude() > 400);
        assert_eq!(huge.integer(), None);
        let tiny = Number::parse("-1e-99999999999999999999").unwrap();
        assert_eq!(tiny.floor(2).0.plain(), "-0.01");
        assert_eq!(tiny.floor(0).0.plain(), "-1");
    }

    #[test]
    fn floors_go_down_on_both_sides_of_zero() {
        for (text, places, floor, exact) in [
            ("5.5", 0, "5", false),
            ("-5.5", 0, "-6", false),
            ("-9.5", 0, "-10", false),
            ("-0.5", 0, "-1", false),
            ("0.5", 0, "0", false),
            ("-99.99", 1, "-100", false),
            ("-100", 0, "-100", true),
            ("0.125", 2, "0.12", false),
            ("-0.001", 2, "-0.01", false),
            ("-1.009", 2, "-1.01", false),
        ] {
            let (found, same) = Number::parse(text).unwrap().floor(places);
            assert_eq!((found.plain().as_str(), same), (floor, exact), "{text} to {places}");
        }
    }

    proptest! {
        #[test]
        fn the_expansion_is_the_same_number(units in any::<i64>(), exponent in -40i32..40) {
            // An independent reading: shift the point of the integer by hand.
            let mut text = units.unsigned_abs().to_string();
            if exponent >= 0 {
                text.extend(std::iter::repeat_n('0', exponent as usize));
            } else {
                let places = exponent.unsigned_abs() as usize;
                while text.len() <= places {
                    text.insert(0, '0');
                }
                text.insert(text.len() - places, '.');
                text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
            }
            let text = text.trim_start_matches('0');
            let text = if text.is_empty() || text.starts_with('.') { format!("0{text}") } else { text.to_owned() };
            let sign = if units < 0 { "-" } else { "" };
            prop_assert_eq!(plain(&format!("{units}e{exponent}")), format!("{sign}{text}"));
        }

        #[test]
        fn floor_agrees_with_integer_division(units in any::<i64>(), places in 0u32..12, cut in 0u32..12) {
            let number = Number::parse(&format!("{units}e-{places}")).unwrap();
            let (floor, exact) = number.floor(cut);
            let step = 10i128.pow(places.saturating_sub(cut));
            let expected = i128::from(units).div_euclid(step) * step;
            prop_assert_eq!(floor, Number::parse(&format!("{expected}e-{places}")).unwrap());
            prop_assert_eq!(exact, expected == i128::from(units));
        }
    }
}
