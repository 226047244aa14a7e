//! Bytes as people read them: quoted, on one line, and short.
//!
//! What is printable stays as it is; the bytes of control characters, and those that are no UTF-8, are escaped as `\xNN`,
//! so nothing that a package wrote can reach a terminal as a command. Of two long values only the place where they
//! begin to differ is shown. Names are never shortened: two of them must not look the same.

use std::fmt::Write as _;

/// The most characters of a value that are shown.
const LIMIT: usize = 60;
/// How much of what two long values have in common is shown before the place where they differ.
const LEAD: usize = 16;

/// A name as it is, if a reader can see all of it, and otherwise quoted; never shortened.
pub fn name(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.starts_with('"') && text.trim() == text && is_visible(text) => text.to_owned(),
        _ => quote_some(bytes, '"', usize::MAX) + "\"",
    }
}

/// A word that a reader cannot see all of, as the `$'…'` of shells; never shortened.
pub fn hidden_word(bytes: &[u8]) -> Option<String> {
    let is_plain = str::from_utf8(bytes).is_ok_and(is_visible);
    (!is_plain).then(|| format!("${}'", quote_some(bytes, '\'', usize::MAX)))
}

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
    let text = quote_some(bytes.get(start..).unwrap_or_default(), '"', LIMIT) + "\"";
    if start > 0 { text.replacen('"', "\"…", 1) } else { text }
}

/// Opens with `mark` and quotes at most so many characters.
fn quote_some(bytes: &[u8], mark: char, mut left: usize) -> String {
    let mut text = String::from(mark);
    for chunk in bytes.utf8_chunks() {
        let chars =
            chunk.valid().char_indices().map(|(at, c)| (c, &chunk.valid().as_bytes()[at..][..c.len_utf8()]));
        let invalid = chunk.invalid().chunks(1).map(|byte| (char::REPLACEMENT_CHARACTER, byte));
        for (c, bytes) in chars.chain(invalid) {
            if left == 0 {
                text.push('…');
                return text;
            }
            left -= 1;
            match c {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                _ if c == mark => text.extend(['\\', c]),
                _ if is_hidden(c) || bytes.len() == 1 && !c.is_ascii() => {
                    bytes.iter().for_each(|byte| write!(text, "\\x{byte:02x}").expect("a string takes all"));
                }
                _ => text.push(c),
            }
        }
    }
    text
}

fn is_visible(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

/// Whether a terminal shows nothing for a character, or shows others in another order because of it.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
        check("\u{85}".as_bytes(), r#""\xc2\x85""#);
        check(&[b'x'; 60], &format!("\"{}\"", "x".repeat(60)));
        check(&[b'x'; 61], &format!("\"{}…\"", "x".repeat(60)));
    }

    #[test]
    fn no_two_names_look_the_same() {
        let check = |bytes: &[u8], expect: &str| assert_eq!(name(bytes), expect);
        check(b"data/new line", "data/new line");
        check("größe".as_bytes(), "größe");
        check(b"back\\slash", "back\\slash");
        check(b"data/new\nline", r#""data/new\nline""#);
        check(b"\"a\"", r#""\"a\"""#);
        check(b"end ", r#""end ""#);
        check(b"caf\xe9", r#""caf\xe9""#);
        check("caf\u{fffd}".as_bytes(), "caf\u{fffd}");
        check("a\u{202e}b".as_bytes(), r#""a\xe2\x80\xaeb""#);
        check(&[b'\n'; 70], &format!("\"{}\"", "\\n".repeat(70)));
        assert_eq!(hidden_word(b"it's"), None);
        assert_eq!(hidden_word(b"it's\t\"\xff"), Some(r#"$'it\'s\t"\xff'"#.to_owned()));
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
