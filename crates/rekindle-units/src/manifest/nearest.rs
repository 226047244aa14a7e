//! Turns serde's and toml's complaints into ours: where it is, what was expected, and the nearest known key.
//!
//! serde says which key it does not know, and which it does, only in the text of its message. That text is
//! taken apart here; a message of another form is passed on as it is, so a change of serde costs the hint and
//! nothing else (golden tests would show it).

use std::path::Path;

use crate::Error;
use crate::error::Problem;

/// Converts a parse error of `text`.
pub(super) fn error(origin: &Path, text: &str, error: &toml::de::Error) -> Error {
    at(origin, text, error.span().map_or(0, |span| span.start), reword(error.message()))
}

/// Returns an error at a byte offset of `text`.
pub(super) fn at(origin: &Path, text: &str, offset: usize, message: String) -> Error {
    let (line, column) = position(text, offset);
    Problem::Manifest { origin: origin.to_owned(), line, column, message }.into()
}

/// Returns line and column, both from 1, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |index| index + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

fn reword(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = |what: &str| {
        let (found, known) = quoted.split_first()?;
        Some(match nearest(found, known) {
            Some(near) => format!("unknown {what} `{found}`; did you mean `{near}`?"),
            None if known.is_empty() => format!("unknown {what} `{found}`; none is known here"),
            None => format!("unknown {what} `{found}`; known are {}", known.join(", ")),
        })
    };
    let reworded = if message.starts_with("unknown field ") {
        unknown("key")
    } else if message.starts_with("unknown variant ") {
        unknown("value")
    } else if let Some(key) = message.strip_prefix("missing field ") {
        Some(format!("the key {key} is missing"))
    } else if let Some(rest) = message.strip_prefix("invalid type: ") {
        rest.rsplit_once(", expected ")
            .map(|(found, expected)| format!("expected {}, found {}", plain(expected), plain(found)))
    } else {
        None
    };
    // toml's own messages may have several lines.
    reworded.unwrap_or_else(|| message.lines().collect::<Vec<_>>().join("; "))
}

/// TOML's words in place of serde's.
fn plain(what: &str) -> &str {
    match what {
        "a sequence" | "sequence" => "a list",
        "a map" | "map" => "a table",
        _ if what.starts_with("struct ") => "a table",
        _ => what,
    }
}

/// Returns the candidate with the least edit distance, if that is at most a third of its length and 1 at least.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment). O(len a · len b), both cut at 64.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).map(fold).collect();
    let b: Vec<char> = b.chars().take(64).map(fold).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// `build_system` and `Build-System` are as near to `build-system` as can be.
fn fold(c: char) -> char {
    if c == '_' { '-' } else { c.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expect) in [
            ("", "", 0),
            ("", "abc", 3),
            ("name", "name", 0),
            ("nmae", "name", 1),
            ("nam", "name", 1),
            ("build_system", "build-system", 0),
            ("vrsion", "version", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expect, "{a} {b}");
            assert_eq!(distance(b, a), expect, "{b} {a}");
        }
    }

    #[test]
    fn nearest_is_near() {
        let known = ["name", "version", "build-system"];
        assert_eq!(nearest("nmae", &known), Some("name"));
        assert_eq!(nearest("buildsystem", &known), Some("build-system"));
        assert_eq!(nearest("zebra", &known), None);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("a\nbü = 1", 6), (2, 4));
        assert_eq!(position("", 9), (1, 1));
    }
}
