//! Matching one glob of a `.gitignore` against bytes, with git's meaning of each character.
//!
//! Written for bytes and for git's rules rather than taken from a glob library: those want UTF-8, give `{…}` a
//! meaning that git does not, and compile every pattern to an automaton, which costs more than it saves when most
//! files are tracked and never matched.
//!
//! Two points to return to are enough, so matching never takes exponential time: the last `*`, which cannot cross
//! a `/`, and the last `**`. An earlier star need not be tried again: once a later `/` or `**` was reached, another
//! extent of the earlier star could not reach more.

/// Whether `pattern` matches all of `text`.
///
/// With `slashes`, `text` is a path: `*`, `?` and `[…]` do not match `/`, and `**` between slashes spans
/// directories. Without, `text` is a single name.
pub(super) fn matches(pattern: &[u8], text: &[u8], slashes: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut deep: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            None if t == text.len() => return true,
            None => Step::Mismatch,
            Some(b'*') => {
                let end = p + pattern[p..].iter().take_while(|&&byte| byte == b'*').count();
                match span(pattern, p, end, slashes) {
                    Span::Rest => return true,
                    Span::Name => {
                        star = Some((end, t));
                        p = end;
                    }
                    Span::Directories(next) => {
                        star = None;
                        deep = Some((next, t));
                        p = next;
                    }
                }
                continue;
            }
            Some(_) => one(&pattern[p..], text.get(t).copied(), slashes),
        };
        match step {
            Step::Match(length) => {
                p += length;
                t += 1;
                continue;
            }
            Step::Malformed => return false,
            Step::Mismatch => {}
        }
        if let Some((next, at)) = star
            && at < text.len()
            && !(slashes && text[at] == b'/')
        {
            star = Some((next, at + 1));
            (p, t) = (next, at + 1);
        } else if let Some((next, at)) = deep
            && let Some(length) = text[at..].iter().position(|&byte| byte == b'/')
        {
            star = None;
            deep = Some((next, at + length + 1));
            (p, t) = (next, at + length + 1);
        } else {
            return false;
        }
    }
}

/// What a run of stars stands for.
enum Span {
    /// All that follows.
    Rest,
    /// Part of one name.
    Name,
    /// No or more whole directories; the pattern goes on at this offset.
    Directories(usize),
}

fn span(pattern: &[u8], start: usize, end: usize, slashes: bool) -> Span {
    let rest = &pattern[end..];
    if !slashes {
        return if rest.is_empty() { Span::Rest } else { Span::Name };
    }
    let opens = start == 0 || pattern[start - 1] == b'/';
    match rest {
        _ if end - start < 2 || !opens => Span::Name,
        [] => Span::Rest,
        [b'/', ..] => Span::Directories(end + 1),
        [b'\\', b'/', ..] => Span::Directories(end + 2),
        _ => Span::Name,
    }
}

enum Step {
    /// The byte matches so many bytes of the pattern.
    Match(usize),
    Mismatch,
    /// The pattern is not well formed, so it matches nothing.
    Malformed,
}

/// Matches one byte (`None` at the end of the text) with the first item of a pattern that is not a star.
fn one(pattern: &[u8], byte: Option<u8>, slashes: bool) -> Step {
    let literal =
        |wanted: u8, length| if byte == Some(wanted) { Step::Match(length) } else { Step::Mismatch };
    match pattern {
        [b'?', ..] => match byte {
            Some(b'/') if slashes => Step::Mismatch,
            Some(_) => Step::Match(1),
            None => Step::Mismatch,
        },
        [b'[', ..] => match (class(pattern, byte.unwrap_or(0)), byte) {
            (None, _) => Step::Malformed,
            (_, None) => Step::Mismatch,
            (_, Some(b'/')) if slashes => Step::Mismatch,
            (Some((true, length)), _) => Step::Match(length),
            (Some((false, _)), _) => Step::Mismatch,
        },
        [b'\\', escaped, ..] => literal(*escaped, 2),
        [b'\\'] => Step::Malformed,
        [plain, ..] => literal(*plain, 1),
        [] => Step::Mismatch,
    }
}

/// Whether the class at the start of `pattern` holds `byte`, and how long the class is; `None` if it has no end.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let mut at = 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let mut held = false;
    // The lower end of a range, if the last item can be one.
    let mut low: Option<u8> = None;
    let mut first = true;
    loop {
        match *pattern.get(at)? {
            b']' if !first => return Some((held != negated, at + 1)),
            b'\\' => {
                let escaped = *pattern.get(at + 1)?;
                held |= byte == escaped;
                low = Some(escaped);
                at += 2;
            }
            b'-' if low.is_some() && !matches!(pattern.get(at + 1), None | Some(b']')) => {
                let (high, length) = match pattern[at + 1] {
                    b'\\' => (*pattern.get(at + 2)?, 3),
                    high => (high, 2),
                };
                held |= low.is_some_and(|low| (low..=high).contains(&byte));
                low = None;
                at += length;
            }
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                let length = pattern[at + 2..].iter().position(|&byte| byte == b']')?;
                match pattern[at + 2..at + 2 + length].strip_suffix(b":") {
                    Some(name) => {
                        held |= named_class(name, byte)?;
                        low = None;
                        at += length + 3;
                    }
                    None => {
                        held |= byte == b'[';
                        low = Some(b'[');
                        at += 1;
                    }
                }
            }
            plain => {
                held |= byte == plain;
                low = Some(plain);
                at += 1;
            }
        }
        first = false;
    }
}

fn named_class(name: &[u8], byte: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => matches!(byte, b' '..=b'~'),
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expect: bool) {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), true), expect, "{pattern:?} on {text:?}");
    }

    #[test]
    fn stars() {
        check("*.c", "a.c", true);
        check("*.c", "d/a.c", false);
        check("a*/b", "axx/b", true);
        check("*x/*y", "axx/byy", true);
        check("a*", "a", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "a1b2b3", false);
        check("**/c", "c", true);
        check("**/c", "a/b/c", true);
        check("a/**", "a/b/c", true);
        check("a/**/b", "a/b", true);
        check("a/**/b", "a/x/y/b", true);
        check("a/**/b", "a/xb", false);
        check("a**/b", "a/x/b", false);
        check("a/**b", "a/xb", true);
        check("a/**b", "a/x/b", false);
        check("**/a*/b", "a/ax/b", true);
        check("**/*/b", "b", false);
    }

    #[test]
    fn classes_and_escapes() {
        check("[a-c]x", "bx", true);
        check("[!a-c]x", "bx", false);
        check("[^a-c]x", "dx", true);
        check("[]-]", "]", true);
        check("[]-]", "-", true);
        check("[a-]", "-", true);
        check("[\\]]", "]", true);
        check("[[:digit:]]", "7", true);
        check("[[:digit:]]", "a", false);
        check("[[:nosuch:]]", "a", false);
        check("[[:]", ":", true);
        check("[a", "a", false);
        check("x[!a]y", "x/y", false);
        check("\\*", "*", true);
        check("\\*", "a", false);
        check("a\\", "a", false);
        check("{a,b}", "a", false);
        check("{a,b}", "{a,b}", true);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        check(&"a*".repeat(60), &format!("{}/b", "a".repeat(200)), false);
        check(&format!("{}b", "**/a*/".repeat(60)), &"a/".repeat(500), false);
    }
}
