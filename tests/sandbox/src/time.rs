//! The proleptic Gregorian calendar in UTC: days since 1970-01-01, milliseconds since then, milliseconds of a day.

pub const DAY: i64 = 86_400_000;

/// Salesforce's valid range of dates, 1700-01-01 to 4000-12-31.
pub const FIRST_DAY: i32 = day(1700, 1, 1);
pub const LAST_DAY: i32 = day(4000, 12, 31);

/// Days since 1970-01-01 of a civil date (the era-based count of 400-year cycles that begin in March).
pub const fn day(year: i32, month: u32, of_month: u32) -> i32 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + of_month as i32 - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of the month.
pub const fn civil(day: i32) -> (i32, u32, u32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let of_month = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month, of_month)
}

/// Milliseconds since 1970 of this moment.
pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// `2024-05-31`, nothing else, and a real day.
pub fn parse_date(text: &str) -> Option<i32> {
    let b = text.as_bytes();
    if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
        return None;
    }
    let (year, month, of_month) = (digits(&b[..4])? as i32, digits(&b[5..7])?, digits(&b[8..])?);
    let it = day(year, month, of_month);
    ((1..=12).contains(&month) && of_month >= 1 && civil(it) == (year, month, of_month)).then_some(it)
}

/// `13:30:00` with up to three more digits; the zone has been taken off.
fn parse_clock(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    if b.len() < 8 || b[2] != b':' || b[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&b[..2])?, digits(&b[3..5])?, digits(&b[6..8])?);
    let millis = match &b[8..] {
        [] => 0,
        [b'.', rest @ ..] if (1..=3).contains(&rest.len()) => digits(rest)? * 10_u32.pow(3 - rest.len() as u32),
        _ => return None,
    };
    (hour < 24 && minute < 60 && second < 60).then_some(i64::from((hour * 3600 + minute * 60 + second) * 1000 + millis))
}

/// `2024-05-31T12:34:56Z`, with milliseconds or an offset (`+02:00`, `+0200`) if given; a zone is required.
pub fn parse_datetime(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let (clock, offset) = if let Some(clock) = rest.strip_suffix('Z') {
        (clock, 0)
    } else {
        let at = rest.rfind(['+', '-'])?;
        let zone = rest[at + 1..].replace(':', "");
        if zone.len() != 4 {
            return None;
        }
        let minutes = digits(&zone.as_bytes()[..2])? * 60 + digits(&zone.as_bytes()[2..])?;
        let minutes = i64::from(minutes) * 60_000;
        (&rest[..at], if rest.as_bytes()[at] == b'-' { -minutes } else { minutes })
    };
    Some(i64::from(parse_date(date)?) * DAY + parse_clock(clock)? - offset)
}

/// `13:30:00.000Z`; the zone is required.
pub fn parse_time(text: &str) -> Option<u32> {
    Some(parse_clock(text.strip_suffix('Z')?)? as u32)
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

fn write_padded(mut number: u32, width: usize, out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + width, b'0');
    for slot in out[from..].iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

pub fn write_date(day: i32, out: &mut Vec<u8>) {
    let (year, month, of_month) = civil(day);
    write_padded(year as u32, 4, out);
    out.push(b'-');
    write_padded(month, 2, out);
    out.push(b'-');
    write_padded(of_month, 2, out);
}

fn write_clock(millis: u32, out: &mut Vec<u8>) {
    write_padded(millis / 3_600_000, 2, out);
    out.push(b':');
    write_padded(millis / 60_000 % 60, 2, out);
    out.push(b':');
    write_padded(millis / 1000 % 60, 2, out);
    out.push(b'.');
    write_padded(millis % 1000, 3, out);
}

/// `2024-05-31T12:34:56.000+0000`: an offset without a colon (contract, section 4).
pub fn write_datetime(millis: i64, out: &mut Vec<u8>) {
    write_date(millis.div_euclid(DAY) as i32, out);
    out.push(b'T');
    write_clock(millis.rem_euclid(DAY) as u32, out);
    out.extend_from_slice(b"+0000");
}

/// `13:30:00.000Z`.
pub fn write_time(millis: u32, out: &mut Vec<u8>) {
    write_clock(millis, out);
    out.push(b'Z');
}

pub fn datetime_text(millis: i64) -> String {
    let mut out = Vec::with_capacity(28);
    write_datetime(millis, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// 0 is Sunday, with which the API's weeks begin.
pub fn weekday(day: i32) -> i32 {
    (day + 4).rem_euclid(7)
}

/// `Tue, 10 Aug 2021 00:00:00 GMT`.
pub fn http_date(millis: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let days = millis.div_euclid(DAY) as i32;
    let (year, month, of_month) = civil(days);
    let s = millis.rem_euclid(DAY) / 1000;
    let name = DAYS[weekday(days) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{name}, {of_month:02} {month} {year:04} {:02}:{:02}:{:02} GMT", s / 3600, s / 60 % 60, s % 60)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub fn parse_http_date(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let of_month = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|m| *m == name)? as u32 + 1;
    let year = words.next()?.parse().ok()?;
    let clock = parse_clock(words.next()?)?;
    (words.next() == Some("GMT")).then(|| i64::from(day(year, month, of_month)) * DAY + clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_dates_are_inverse_over_the_valid_range() {
        assert_eq!((day(1970, 1, 1), day(2000, 2, 29), day(1969, 12, 31)), (0, 11_016, -1));
        for it in (FIRST_DAY..=LAST_DAY).step_by(13) {
            let (y, m, d) = civil(it);
            assert_eq!(day(y, m, d), it);
        }
    }

    #[test]
    fn only_real_dates_and_zoned_times_are_read() {
        assert_eq!(parse_date("2024-02-29"), Some(day(2024, 2, 29)));
        assert_eq!((parse_date("2023-02-29"), parse_date("2023-2-09"), parse_date("2023-13-01")), (None, None, None));
        let noon = i64::from(day(2024, 5, 31)) * DAY + 12 * 3_600_000;
        assert_eq!(parse_datetime("2024-05-31T12:00:00Z"), Some(noon));
        assert_eq!(parse_datetime("2024-05-31T14:00:00.5+02:00"), Some(noon + 500));
        assert_eq!(parse_datetime("2024-05-31T12:00:00.000+0000"), Some(noon));
        assert_eq!(parse_datetime("2024-05-31T12:00:00"), None);
        assert_eq!(parse_time("13:30:00.000Z"), Some(48_600_000));
        assert_eq!(parse_time("24:00:00Z"), None);
    }

    #[test]
    fn stamps_are_written_and_read_in_both_forms() {
        let stamp = parse_datetime("2021-08-10T01:02:03.004Z").unwrap();
        assert_eq!(datetime_text(stamp), "2021-08-10T01:02:03.004+0000");
        assert_eq!(http_date(stamp), "Tue, 10 Aug 2021 01:02:03 GMT");
        assert_eq!(parse_http_date("Tue, 10 Aug 2021 01:02:03 GMT"), Some(stamp - 4));
    }
}
