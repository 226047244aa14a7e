//! The patterns of one `.gitignore` file.
//!
//! One pattern per line; `#` begins a comment, `!` turns a pattern round, a trailing `/` asks for a directory, a `/`
//! elsewhere ties the pattern to the file's directory. Trailing spaces go unless escaped. The last pattern that
//! matches decides. Bytes need not be UTF-8.

use super::wildmatch;

/// The patterns of one file, in its order.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<Pattern>);

/// What the last matching pattern says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ignore,
    /// Brought back by a `!` pattern.
    Keep,
}

#[derive(Debug)]
struct Pattern {
    verdict: Verdict,
    directory_only: bool,
    /// Matched against the path from the file's directory rather than against the last name.
    whole_path: bool,
    glob: Box<[u8]>,
    /// Length of the part of the glob before the first special character.
    literal: usize,
}

impl Patterns {
    pub(super) fn parse(text: &[u8]) -> Patterns {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Patterns(text.split(|&byte| byte == b'\n').filter_map(Pattern::parse).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Judges a path relative to the directory of the file; `None` when no pattern matches.
    pub(super) fn judge(&self, path: &[u8], directory: bool) -> Option<Verdict> {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let decisive = self.0.iter().rev().find(|pattern| pattern.matches(path, name, directory));
        decisive.map(|pattern| pattern.verdict)
    }
}

impl Pattern {
    fn parse(line: &[u8]) -> Option<Pattern> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"#") {
            return None;
        }
        let line = trim_spaces(line);
        let (verdict, line) = match line.strip_prefix(b"!") {
            Some(rest) => (Verdict::Keep, rest),
            None => (Verdict::Ignore, line),
        };
        let (directory_only, line) = match line.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let whole_path = line.contains(&b'/');
        let glob = line.strip_prefix(b"/").unwrap_or(line);
        if glob.is_empty() {
            return None;
        }
        let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let literal = glob.iter().position(special).unwrap_or(glob.len());
        Some(Pattern { verdict, directory_only, whole_path, glob: glob.into(), literal })
    }

    fn matches(&self, path: &[u8], name: &[u8], directory: bool) -> bool {
        if self.directory_only && !directory {
            return false;
        }
        let text = if self.whole_path { path } else { name };
        let (literal, glob) = self.glob.split_at(self.literal);
        match (text.strip_prefix(literal), glob) {
            (None, _) => false,
            (Some(rest), []) => rest.is_empty(),
            // The common `*.o`, without the general matcher.
            (Some(rest), [b'*', suffix @ ..])
                if !self.whole_path && !suffix.iter().any(|byte| b"*?[\\".contains(byte)) =>
            {
                rest.ends_with(suffix)
            }
            // git, too, matches only what follows the literal part; so `a**/b` spans directories.
            (Some(rest), glob) => wildmatch::matches(glob, rest, self.whole_path),
        }
    }
}

/// Cuts trailing spaces, but not one that a backslash escapes.
fn trim_spaces(line: &[u8]) -> &[u8] {
    let (mut at, mut end) = (0, 0);
    while at < line.len() {
        match line[at] {
            b' ' => at += 1,
            b'\\' => {
                at = line.len().min(at + 2);
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &str, path: &str, directory: bool, expect: Option<Verdict>) {
        let judged = Patterns::parse(patterns.as_bytes()).judge(path.as_bytes(), directory);
        assert_eq!(judged, expect, "{patterns:?} on {path:?}");
    }

    #[test]
    fn lines() {
        const IGNORE: Option<Verdict> = Some(Verdict::Ignore);
        check("*.o", "d/a.o", false, IGNORE);
        check("/a", "d/a", false, None);
        check("/a", "a", false, IGNORE);
        check("d/a", "d/a", false, IGNORE);
        check("d/a", "x/d/a", false, None);
        check("d/", "d", false, None);
        check("d/", "d", true, IGNORE);
        check("*.o\n!a.o", "a.o", false, Some(Verdict::Keep));
        check("!a.o\n*.o", "a.o", false, IGNORE);
        check("#a", "#a", false, None);
        check("\\#a", "#a", false, IGNORE);
        check("\\!a", "!a", false, IGNORE);
        check("a  ", "a", false, IGNORE);
        check("a\\ ", "a ", false, IGNORE);
        check("a\\  ", "a ", false, IGNORE);
        check("a\\\\ ", "a\\", false, IGNORE);
        check("a\r\nb", "a", false, IGNORE);
        check("\u{feff}a", "a", false, IGNORE);
        check("\n\n/\n!\n", "a", true, None);
        check("a\t", "a", false, None);
    }
}
