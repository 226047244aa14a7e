//! Values of options that are written with a unit.

use std::time::Duration;

const TOO_LONG: &str = "that is too long a time";

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Err(_) if is_number(text) => Err(TOO_LONG.to_owned()),
        Ok(0) | Err(_) => Err("a number of seconds, at least 1, is needed".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a number of bytes is needed, perhaps with K, M, G or T".to_owned()),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "a number of bytes is needed that fits into 64 bits".to_owned())
}

/// A length of time with its unit: `90s`, `15m`, `12h`, `7d`, `2w`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err("a length of time is needed with its unit: s, m, h, d or w".to_owned()),
    };
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(|| match is_number(digits) {
        true => TOO_LONG.to_owned(),
        false => "a whole number is needed before the unit".to_owned(),
    })
}

/// Whether it is a whole number, however large.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A share: `10%`, or `10`.
pub(super) fn percent(text: &str) -> Result<u8, String> {
    match text.strip_suffix('%').unwrap_or(text).parse() {
        Ok(number @ 1..=100) => Ok(number),
        _ => Err("a share from 1% to 100% is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("3K"), Ok(3072));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        for wrong in ["", "K", "-1", "1.5G", "1GG", "99999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2w"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(duration("0d"), Ok(Duration::ZERO));
        for wrong in ["", "d", "3", "1.5h", "-1d", "3 d", "99999999999999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        let long = Err(TOO_LONG.to_owned());
        assert_eq!(
            (duration("99999999999999w"), duration("99999999999999999999s")),
            (long.clone(), long.clone())
        );
        assert_eq!(seconds("99999999999999999999"), long);
        assert_ne!(duration("1.5h"), long);
    }

    #[test]
    fn shares_are_percentages() {
        assert_eq!((percent("10%"), percent("100")), (Ok(10), Ok(100)));
        for wrong in ["", "%", "0", "0%", "101%", "0.5%", "256"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
