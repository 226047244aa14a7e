//! A view of a Rust file for checks that work on text: code with comments and literals blanked out, and which
//! lines are tests.
//!
//! Blanking keeps every byte's place, so a position in the code is a position in the text. The scanner knows just
//! enough of the language to tell code from comments, strings and characters; it must not know what a check wants.

/// A Rust file, scanned.
#[derive(Debug)]
pub struct Source {
    code: String,
    test_lines: Vec<bool>,
    whole_file_is_test: bool,
}

impl Source {
    /// Scans the file at `path` with the given text. The path decides whether all of it is a test.
    pub fn scan(path: &str, text: &str) -> Source {
        let code = blank(text);
        let mut test_lines = vec![false; code.lines().count()];
        for (start, end) in test_items(&code) {
            let (first, last) = (line_of(&code, start), line_of(&code, end));
            for line in first..=last.min(test_lines.len()) {
                test_lines[line - 1] = true;
            }
        }
        Source { code, test_lines, whole_file_is_test: is_test_path(path) }
    }

    /// The code: comments and the insides of literals are spaces, line breaks are kept.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The lines of code, numbered from 1, that are not part of a test.
    pub fn lines_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .filter(|(index, _)| !self.whole_file_is_test && !self.test_lines[*index])
            .map(|(index, line)| (index + 1, line))
    }

    /// Whether the line, from 1, is part of a test.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.whole_file_is_test
            || line.checked_sub(1).is_some_and(|index| self.test_lines.get(index) == Some(&true))
    }

    /// The line, from 1, of a byte position in the code.
    pub fn line_of(&self, position: usize) -> usize {
        line_of(&self.code, position)
    }

    /// The byte positions where `word` stands in the code as a word of its own.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.code, word)
    }
}

/// The byte positions where `word` stands in `text`, not as part of a longer identifier.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(word).map(|(position, _)| position).filter(move |&position| {
        let bytes = text.as_bytes();
        let before = position.checked_sub(1).and_then(|index| bytes.get(index));
        !is_part(before) && !is_part(bytes.get(position + word.len()))
    })
}

/// Whether everything in a file at this path is a test, a benchmark or support for one.
pub fn is_test_path(path: &str) -> bool {
    let is_test_dir = |part: &str| part == "tests" || part == "benches";
    path.ends_with("/tests.rs") || path.split('/').any(is_test_dir)
}

fn line_of(text: &str, position: usize) -> usize {
    text.as_bytes()[..position].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The text with comments and the insides of literals replaced by spaces, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match opaque_end(bytes, at) {
            Some(end) => end,
            None => {
                // Only ASCII can be an identifier that a check looks for.
                out.push(if bytes[at].is_ascii() { bytes[at] } else { b' ' });
                at += 1;
                continue;
            }
        };
        // The quotes stay, so that `f("x")` does not read like a call without arguments.
        let keep_quote = |byte: u8| if byte == b'"' || byte == b'\n' { byte } else { b' ' };
        let last = end - 1;
        for (index, &byte) in bytes.iter().enumerate().take(end).skip(at) {
            let is_edge = index == at || index == last;
            out.push(if is_edge {
                keep_quote(byte)
            } else if byte == b'\n' {
                b'\n'
            } else {
                b' '
            });
        }
        at = end;
    }
    String::from_utf8(out).expect("every byte that is kept is ASCII")
}

/// Where the comment or literal that begins at `at` ends, or `None` if none begins there.
fn opaque_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let is_ident = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            Some(at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()))
        }
        b'/' if rest.starts_with(b"/*") => Some(at + block_comment(rest)),
        b'"' => Some(at + quoted(rest)),
        b'r' | b'b' | b'c' if at == 0 || !is_ident(bytes[at - 1]) => {
            let prefix = rest.iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
            let raw = rest[..prefix].contains(&b'r');
            match rest.get(prefix) {
                Some(b'"') if !raw => Some(at + prefix + quoted(&rest[prefix..])),
                Some(b'"' | b'#') if raw => raw_string(&rest[prefix..]).map(|length| at + prefix + length),
                Some(b'\'') if rest[0] == b'b' && prefix == 1 => {
                    character(&rest[prefix..]).map(|length| at + prefix + length)
                }
                _ => None,
            }
        }
        b'\'' => character(rest).map(|length| at + length),
        _ => None,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `#*"…"#*`, or `None` where the hashes belong to a raw identifier.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let body = hashes + 1;
    let closes =
        |at: usize| rest[at] == b'"' && rest[at + 1..].iter().take_while(|&&b| b == b'#').count() >= hashes;
    Some((body..rest.len()).find(|&at| closes(at)).map_or(rest.len(), |at| at + 1 + hashes))
}

/// The length of a character literal, or `None` where the quote begins a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    match rest.get(1)? {
        b'\\' => {
            let close = rest.iter().skip(3).position(|&byte| byte == b'\'')?;
            Some(close + 4)
        }
        first => {
            let width = match first {
                0x00..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
    }
}

/// The byte ranges of the items marked `#[cfg(test)]`, marks included.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        let Some(close) = code[start..].find(']') else { continue };
        let mark = &code[start..start + close];
        if words(mark, "test").next().is_none() || mark.contains("not(") {
            continue;
        }
        items.push((start, item_end(code, start + close + 1)));
    }
    items
}

/// Where the item that begins at `at` ends: its closing brace, or its semicolon if that comes before any brace.
fn item_end(code: &str, at: usize) -> usize {
    // A semicolon in brackets is part of an array's type, not the end.
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b';' if braces == 0 && brackets == 0 => return offset,
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces <= 1 => return offset,
            b'}' => braces -= 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let code = blank(text);
        assert_eq!(code.len(), text.len(), "blanking keeps every byte's place");
        let squeezed = code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, expect, "{text}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // unsafe\nb", "a b");
        check("a /* x /* y */ unsafe */ b", "a b");
        check(r#"f("unsafe \" still", x)"#, "f(\" \", x)");
        check(r##"f(r#"a " b"#, y)"##, "f( , y)");
        check(r#"f(b"x", c"y", br"z")"#, "f( \", \", \")");
        check("let c = '\"'; g()", "let c = ; g()");
        check(r"let c = '\''; g()", "let c = ; g()");
        check(r"let c = '\u{1f600}'; g()", "let c = ; g()");
        check("let c = 'é'; g(b'x')", "let c = ; g( )");
        check("fn f<'a>(x: &'a str) -> &'static str", "fn f<'a>(x: &'a str) -> &'static str");
        check("r#type + bar\"x\"", "r#type + bar\" \"");
        check("\"never closed", "\"");
    }

    #[test]
    fn test_items_are_lines_of_their_own() {
        let source = Source::scan(
            "crates/a/src/lib.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}\n",
        );
        let kept: Vec<_> = source.lines_without_tests().map(|(number, _)| number).collect();
        assert_eq!(kept, [1, 6, 9]);
        assert!(source.is_test_line(4) && !source.is_test_line(6));
    }

    #[test]
    fn code_for_all_but_tests_is_not_a_test() {
        let source = Source::scan("crates/a/src/lib.rs", "#[cfg(not(test))]\nfn a() {}\n");
        assert_eq!(source.lines_without_tests().count(), 2);
    }

    #[test]
    fn whole_files_can_be_tests() {
        for (path, expect) in [
            ("crates/a/tests/it/main.rs", true),
            ("crates/a/src/b/tests.rs", true),
            ("crates/a/benches/b.rs", true),
            ("crates/a/src/contests.rs", false),
        ] {
            assert_eq!(is_test_path(path), expect, "{path}");
        }
    }

    #[test]
    fn words_are_whole() {
        let found: Vec<_> = words("unsafe_code unsafe fn unsafely", "unsafe").collect();
        assert_eq!(found, [12]);
    }
}
