//! The lines of a makefile as make puts them together, and which of them are recipes.
//!
//! A line that a backslash continues is one with the next, tab or not. A line is of a recipe if it begins with a tab and a rule
//! stands before it, with nothing but recipes, conditionals, comments and empty lines between: make reads any other as if the
//! tab were not there. What stands between `define` and `endef` is read as the makefile that it may become. If a makefile
//! chooses with what its recipes begin, no line of it is taken for one.
//!
//! A comment is left out, but for one in a recipe, or in what may become one: make replaces variables there, and leaves it to the
//! shell what a comment is.

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of the rule before it.
    Recipe,
    /// It may have a recipe of its own, behind a semicolon.
    Rule,
    /// An assignment, a directive, or what may become anything when variables are replaced.
    Other,
}

/// A makefile's lines, each as one piece and with the first of its bytes, in order. Lines without a word are left out, but for those
/// in the text of a variable.
pub(super) fn lines(content: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let chooses_prefix = super::has(content, b".RECIPEPREFIX");
    let mut in_rule = false;
    let mut definitions = 0_usize;
    let mut lines = Vec::new();
    for line in joined_lines(content) {
        let trimmed = line.trim_ascii_start();
        if trimmed.is_empty() && definitions == 0 {
            continue;
        }
        if line.first() == Some(&b'\t') && in_rule && !chooses_prefix {
            lines.push((Kind::Recipe, line));
            continue;
        }
        let is_neither = trimmed.first() == Some(&b'#') || is_conditional(trimmed);
        let is_rule = !is_neither && is_rule(trimmed);
        in_rule = is_rule || (is_neither && in_rule);
        let may_become_recipe = chooses_prefix || definitions > 0;
        match definition(trimmed) {
            Some(b"define") => definitions += 1,
            Some(b"endef") => definitions = definitions.saturating_sub(1),
            _ => {}
        }
        let line = if may_become_recipe { line } else { without_comment(line) };
        if may_become_recipe || !line.trim_ascii().is_empty() {
            lines.push((if is_rule { Kind::Rule } else { Kind::Other }, line));
        }
    }
    lines
}

/// The word of a line that begins or ends the text of a variable.
fn definition(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.find(|word| !matches!(*word, b"override" | b"export" | b"unexport" | b"private"))
}

/// A line up to its comment. What is in parentheses or behind a backslash begins none, nor what is in a recipe beside a rule.
fn without_comment(mut line: Vec<u8>) -> Vec<u8> {
    let ends = |at: &usize| match line[*at] {
        b'#' => *at == 0 || line[at - 1] != b'\\',
        b';' => is_rule(&line[..*at]),
        _ => false,
    };
    let comment = outside_of_calls(&line).find(ends).filter(|at| line[*at] == b'#');
    if let Some(end) = comment {
        // The space before it is part of what a variable is set to, and of no rule.
        let text = if is_rule(&line) { line[..end].trim_ascii_end() } else { &line[..end] };
        line.truncate(text.len());
    }
    line
}

/// Where the targets of a rule end.
pub(super) fn end_of_targets(line: &[u8]) -> usize {
    outside_of_calls(line).find(|at| line[*at] == b':').unwrap_or(line.len())
}

/// The places of a line that are in no parentheses of a variable or function.
pub(super) fn outside_of_calls(line: &[u8]) -> impl Iterator<Item = usize> {
    let mut depth = 0_usize;
    (0..line.len()).filter(move |at| {
        match line[*at] {
            b'(' | b'{' if depth > 0 || (*at > 0 && line[*at - 1] == b'$') => depth += 1,
            b')' | b'}' if depth > 0 => depth -= 1,
            _ => return depth == 0,
        }
        false
    })
}

/// The lines, with a space for each backslash that continues one.
pub(crate) fn joined_lines(content: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut continues = false;
    for line in content.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let backslashes = line.iter().rev().take_while(|byte| **byte == b'\\').count();
        let goes_on = backslashes % 2 == 1;
        let line = if goes_on { &line[..line.len() - 1] } else { line };
        match lines.last_mut().filter(|_| continues) {
            Some(last) => {
                last.push(b' ');
                last.extend_from_slice(line);
            }
            None => lines.push(line.to_vec()),
        }
        continues = goes_on;
    }
    lines
}

fn is_conditional(line: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"ifeq", b"ifneq", b"ifdef", b"ifndef", b"else", b"endif"];
    let end = line.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(line.len());
    WORDS.contains(&&line[..end])
}

/// Whether a line has targets. A variable that is set for a target alone has no recipe.
fn is_rule(line: &[u8]) -> bool {
    // Their arguments may have colons.
    const DIRECTIVES: [&[u8]; 6] = [b"vpath", b"include", b"-include", b"sinclude", b"define", b"load"];
    let end = line.iter().position(|byte| !matches!(byte, b'-' | b'a'..=b'z')).unwrap_or(line.len());
    if DIRECTIVES.contains(&&line[..end]) && line.get(end) != Some(&b':') {
        return false;
    }
    let mut is_rule = false;
    for at in outside_of_calls(line) {
        match line[at] {
            b':' => is_rule = true,
            b'=' => return false,
            b';' | b'#' => break,
            _ => {}
        }
    }
    is_rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_behind_rules() {
        use Kind::{Other, Recipe, Rule};
        let check = |content: &str, expected: &[Kind]| {
            let kinds: Vec<Kind> = lines(content.as_bytes()).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(kinds, expected, "{content}");
        };
        check("a: b\n\tc\n\n# d\n\te\n", &[Rule, Recipe, Recipe]);
        check("a: b\r\n\tc \\\r\nd\r\n\te\r\n", &[Rule, Recipe, Recipe]);
        check("\ta\nb = c\n\td: e\n\tf\n", &[Other, Other, Rule, Recipe]);
        check("a \\\n\tb \\\n\t: c\n\td\n", &[Rule, Recipe]);
        check("A = \\\n\tb\n\tc\n", &[Other, Other]);
        check("a:\nA := $(x:y=z)\n\tb\n", &[Rule, Other, Other]);
        check("a: A = b\n\tc\n", &[Other, Other]);
        check("$(a:b=c): d ; e=f\n\tg\n", &[Rule, Recipe]);
        check(
            "a:\nifdef b\n\tc\nelse\n\td\nendif\n\te\n",
            &[Rule, Other, Recipe, Other, Recipe, Other, Recipe],
        );
        check("a:\ndefine b\n\tc\nd:\n\te\nendef\n\tf\n", &[Rule, Other, Other, Rule, Recipe, Other, Other]);
        check("a:\ninclude b\n\tc\n", &[Rule, Other, Other]);
        check("vpath %.c a:b\n\tc\n", &[Other, Other]);
        check(".RECIPEPREFIX = >\na: b\n>c\n\td\n", &[Other, Rule, Other, Other]);
        check("a\\\\\nb: c\n", &[Other, Rule]);
    }
}
