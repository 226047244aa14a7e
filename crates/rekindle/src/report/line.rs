//! Making text of builders and of the file system fit to be shown.

use std::borrow::Cow;
use std::time::Duration;

use unicode_width::UnicodeWidthChar;

/// The identity of a checkpoint as people are shown it: so many digits are enough to name one.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// What a builder printed, as one harmless line: without escape sequences and control characters, as far as possible
/// what a terminal would show in the end. Where a carriage return has the line written again, the last text counts.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    for part in anstream::adapter::strip_bytes(bytes) {
        text.extend_from_slice(part);
    }
    let text = String::from_utf8_lossy(&text);
    let shown = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or("");
    let mut line = String::with_capacity(shown.len());
    for char in shown.trim_end().chars() {
        match char {
            '\t' => line.push_str(&" ".repeat(8 - width(&line) % 8)),
            // These turn the direction of writing, and so could make a line look like another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            char if char.is_control() => {}
            char => line.push(char),
        }
    }
    line
}

/// So many of something: `1 path`, `2 paths`.
pub(crate) fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// How many columns a terminal needs for a line.
pub(crate) fn width(line: &str) -> usize {
    line.chars().map(|char| char.width().unwrap_or(0)).sum()
}

/// Cuts a line so that it needs at most `columns`, with `ellipsis` in place of what was cut.
pub(crate) fn fit<'a>(line: &'a str, columns: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(line) <= columns {
        return Cow::Borrowed(line);
    }
    let Some(room) = columns.checked_sub(width(ellipsis)) else { return Cow::Borrowed("") };
    let mut used = 0;
    let end = line.char_indices().find(|(_, char)| {
        used += char.width().unwrap_or(0);
        used > room
    });
    let end = end.map_or(line.len(), |(at, _)| at);
    Cow::Owned(format!("{}{ellipsis}", &line[..end]))
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A short duration as people say it: `0.2 ms`, `34 ms`, and from a second on as [`spoken`].
pub(crate) fn spoken_short(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ 0..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros @ 10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => spoken(duration),
    }
}

/// A number of bytes as people say it.
pub(crate) fn spoken_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

/// A word that a shell takes as it is.
pub(crate) fn shell_word(word: &str) -> Cow<'_, str> {
    let safe = |char: char| char.is_alphanumeric() || "+-./:=@_,%".contains(char);
    if !word.is_empty() && word.chars().all(safe) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_builder_prints_becomes_harmless() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(one_line(bytes), expected, "{bytes:?}");
        check(b"gcc -c a.c", "gcc -c a.c");
        check(b"\x1b[31merror\x1b[0m: no", "error: no");
        check(b"\x1b]0;a title\x07text", "text");
        check(b"\x1b[2J\x1b[Hgone", "gone");
        check(b" 10%\r 20%\r100%", "100%");
        check(b"done\r", "done");
        check(b"a\tb", "a       b");
        check(b"bell\x07 and \x08backspace", "bell and backspace");
        check(b"caf\xe9", "caf\u{fffd}");
        check("über \u{9b}31m".as_bytes(), "über 31m");
        check("left\u{202e}tfel".as_bytes(), "lefttfel");
        check(b"", "");
    }

    #[test]
    fn lines_are_cut_by_columns() {
        let check = |line: &str, columns, expected: &str| assert_eq!(fit(line, columns, "…"), expected);
        check("short", 5, "short");
        check("longer", 5, "long…");
        check("日本語", 6, "日本語");
        check("日本語", 5, "日本…");
        check("日本語", 4, "日…");
        check("x", 0, "");
        check("xy", 1, "…");
        assert_eq!(fit("longer", 2, "..."), "");
    }

    #[test]
    fn durations_and_sizes_are_short() {
        let check = |seconds, expected: &str| assert_eq!(spoken(Duration::from_secs_f64(seconds)), expected);
        check(0.04, "0.0 s");
        check(9.96, "10.0 s");
        check(59.9, "59 s");
        check(200.0, "3 min 20 s");
        check(7500.0, "2 h 5 min");
        assert_eq!(spoken_short(Duration::from_micros(250)), "0.2 ms");
        assert_eq!(spoken_short(Duration::from_micros(34_600)), "34 ms");
        assert_eq!(spoken_short(Duration::from_millis(1200)), "1.2 s");
        assert_eq!(spoken_bytes(512), "512 B");
        assert_eq!(spoken_bytes(1536), "1.5 KiB");
        assert_eq!(spoken_bytes(3 << 30), "3.0 GiB");
    }

    #[test]
    fn one_is_not_many() {
        let check = |count, expected: &str| assert_eq!(counted(count, "directory", "directories"), expected);
        check(0, "0 directories");
        check(1, "1 directory");
        check(2, "2 directories");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(shell_word("./a-b_1.drv"), "./a-b_1.drv");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
        assert_eq!(shell_word("$HOME"), "'$HOME'");
        assert_eq!(shell_word(""), "''");
    }

    proptest! {
        #[test]
        fn no_byte_moves_the_cursor(bytes in proptest::collection::vec(any::<u8>(), 0..300), columns in 0usize..100) {
            let line = one_line(&bytes);
            prop_assert!(line.chars().all(|char| !char.is_control()));
            prop_assert!(width(&fit(&line, columns, "…")) <= columns);
        }
    }
}
