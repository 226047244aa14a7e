//! Bytes as people read them: quoted, on one line, and short.
//!
//! What is printable stays as it is; control characters and bytes that are no UTF-8 are escaped as `\xNN`, so
//! nothing that a package wrote can reach a terminal as a command. Of two long values only the place where they
//! begin to differ is shown.

use std::fmt::Write as _;

/// The most characters of a value that are shown.
const LIMIT: usize = 60;
/// How much of what two long values have in common is shown before the place where they differ.
const LEAD: usize = 16;

/// Quotes `bytes`, shortened.
pub(crate) fn quote(bytes: &[u8]) -> String {
    quote_from(bytes, 0)
}

/// Quotes two values that differ, both from about the place where they begin to.
pub(crate) fn quote_both(old: &[u8], new: &[u8]) -> (String, String) {
    let common = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let is_short = old.len().max(new.len()) <= LIMIT;
    let mut start = if is_short { 0 } else { common.saturating_sub(LEAD) };
    // A continuation byte is not where a character begins. Up to here both are the same.
    while start > 0 && start < old.len() && old[start] & 0xc0 == 0x80 {
        start -= 1;
    }
    (quote_from(old, start), quote_from(new, start))
}

fn quote_from(bytes: &[u8], start: usize) -> String {
    let mut text = String::from(if start > 0 { "\"…" } else { "\"" });
    let mut left = LIMIT;
    for chunk in bytes.get(start..).unwrap_or_default().utf8_chunks() {
        let chars = chunk.valid().chars().map(|c| (c, c.is_control()));
        let invalid = chunk.invalid().iter().map(|byte| (char::from(*byte), true));
        for (c, escaped) in chars.chain(invalid) {
            if left == 0 {
                text.push_str("…\"");
                return text;
            }
            left -= 1;
            match c {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '"' | '\\' => text.extend(['\\', c]),
                _ if escaped => write!(text, "\\x{:02x}", u32::from(c)).expect("a string takes all"),
                _ => text.push(c),
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable_and_harmless() {
        let check = |bytes: &[u8], expect: &str| assert_eq!(quote(bytes), expect);
        check(b"", r#""""#);
        check(b"-O2 -g", r#""-O2 -g""#);
        check("größe".as_bytes(), r#""größe""#);
        check(b"a\"b\\c\nd\te", r#""a\"b\\c\nd\te""#);
        check(b"\x1b[31m\xff\xc3", r#""\x1b[31m\xff\xc3""#);
        check("\u{85}".as_bytes(), r#""\x85""#);
        check(&[b'x'; 60], &format!("\"{}\"", "x".repeat(60)));
        check(&[b'x'; 61], &format!("\"{}…\"", "x".repeat(60)));
    }

    #[test]
    fn of_long_values_the_difference_is_shown() {
        let check = |old: &str, new: &str, expect: (&str, &str)| {
            let (a, b) = quote_both(old.as_bytes(), new.as_bytes());
            assert_eq!((a.as_str(), b.as_str()), expect);
        };
        check("-O2", "-O3", (r#""-O2""#, r#""-O3""#));
        let long = "x".repeat(100);
        check(
            &format!("{long}1"),
            &format!("{long}2 and more"),
            (r#""…xxxxxxxxxxxxxxxx1""#, r#""…xxxxxxxxxxxxxxxx2 and more""#),
        );
        // One is the beginning of the other.
        check(&long, &format!("{long}."), (r#""…xxxxxxxxxxxxxxxx""#, r#""…xxxxxxxxxxxxxxxx.""#));
        // Not inside a character.
        let umlauts = "ü".repeat(50);
        let (a, b) = quote_both(format!("{umlauts}a").as_bytes(), format!("{umlauts}bb").as_bytes());
        assert!(!a.contains("\\x") && b.ends_with("üüüüüüüübb\""), "{a} {b}");
        let (a, b) = quote_both(format!("{umlauts}.a").as_bytes(), format!("{umlauts}.bb").as_bytes());
        assert!(!a.contains("\\x") && !b.contains("\\x"), "{a} {b}");
    }
}
