//! The paths that a makefile has make ask for: `$(wildcard …)` and `$(realpath …)`.
//!
//! A glob at the end of one is answered by listing its directory, which is seen. A name is only looked for, which is not seen: so it
//! counts as asked for, wherever make was. What stands before the variables in it are replaced may be anything.

use std::collections::BTreeSet;

use super::glob::{has_glob, matches};

/// The functions of make that ask for what their arguments name.
const CALLS: [&str; 2] = ["wildcard", "realpath"];

/// What a makefile asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The components of the paths that end in a name, the last one first, up to where they leave a directory (`..`). Globs.
    names: BTreeSet<Vec<String>>,
    /// Whether the last component of a path is known only when variables are replaced.
    pub(super) has_unknown_name: bool,
    /// Whether one before it is. What stands for a whole path before them (`$(dir)/`) is none: that path stands elsewhere.
    pub(super) has_unknown_directory: bool,
}

impl Asked {
    /// Adds what a line asks for.
    pub(super) fn add(&mut self, line: &str) {
        for call in CALLS {
            for arguments in line.split(call).skip(1) {
                let end = outside(arguments).find(|(_, c)| matches!(c, ')' | '}'));
                let arguments = end.map_or(arguments, |(at, _)| &arguments[..at]);
                split(arguments, char::is_whitespace).for_each(|path| self.add_path(path));
            }
        }
    }

    /// Whether it asks for this path by its name.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        let is_it = |asked: &Vec<String>| {
            let components: Vec<&[u8]> = path.rsplit(|byte| *byte == b'/').collect();
            let mut pairs = asked.iter().zip(&components);
            pairs.all(|(asked, component)| matches(asked.as_bytes(), component))
        };
        self.names.iter().any(is_it)
    }

    fn add_path(&mut self, path: &str) {
        let components: Vec<&str> = split(path, |c| c == '/').collect();
        let Some((last, above)) = components.split_last() else { return };
        self.has_unknown_name |= last.contains('$');
        self.has_unknown_directory |= above.iter().skip(1).any(|component| component.contains('$'));

        let mut names = components.iter().rev().skip_while(|component| component.is_empty());
        let Some(name) = names.next().filter(|name| !has_glob(name)) else { return };
        let is_inside = |component: &&&str| **component != "..";
        // Before the first one that is a variable only there may be more of them, or less.
        let above = names.filter(|component| !matches!(**component, "" | ".")).take_while(is_inside);
        let asked: Vec<String> = std::iter::once(name)
            .chain(above)
            .map(|component| as_glob(component))
            .take_while(|component| component != "*")
            .collect();
        if !asked.is_empty() {
            self.names.insert(asked);
        }
    }
}

/// A line from where it asks for something first; nothing of it if it does not.
pub(super) fn from_first_call(line: &str) -> &str {
    let first = CALLS.iter().filter_map(|call| line.find(call)).min();
    first.map_or("", |at| &line[at..])
}

/// A component with `*` for its variables.
fn as_glob(component: &str) -> String {
    let mut glob = String::new();
    let mut rest = component;
    while let Some((before, variable)) = rest.split_once('$') {
        glob += before;
        if !glob.ends_with('*') {
            glob.push('*');
        }
        // Of one letter, or up to the end of its parentheses.
        let of_one = outside(variable).next().filter(|(at, _)| *at == 0).map_or(0, |(_, c)| c.len_utf8());
        let end = outside(variable).next().map_or(variable.len(), |(at, _)| at.max(of_one));
        rest = &variable[end..];
    }
    glob + rest
}

/// The parts of a text between these characters. What is in parentheses is not split.
fn split(text: &str, is_between: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut ends: Vec<(usize, char)> = outside(text).filter(|(_, c)| is_between(*c)).collect();
    ends.push((text.len(), ' '));
    let mut start = 0;
    ends.into_iter().map(move |(end, c)| {
        let part = &text[start..end];
        start = (end + c.len_utf8()).min(text.len());
        part
    })
}

/// The characters that are in no parentheses, and where they are. One that closes what was not opened is among them.
fn outside(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut depth = 0_usize;
    text.char_indices().filter(move |(_, c)| {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' if depth > 0 => depth -= 1,
            _ => return depth == 0,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_and_globs_are_not() {
        let check = |line: &str, path: &str, expected| {
            let mut asked = Asked::default();
            asked.add(line);
            assert_eq!(asked.has(path.as_bytes()), expected, "{line} {path}");
        };
        check("A = $(wildcard conf/opt.mk)", "conf/opt.mk", true);
        check("A = $(wildcard conf/opt.mk)", "sub/conf/opt.mk", true);
        check("A = $(wildcard conf/opt.mk)", "other/opt.mk", false);
        check("A = $(wildcard a conf/opt.mk\tb) c", "conf/opt.mk", true);
        check("A = $(wildcard a) c", "c", false);
        check("A = ${realpath ../conf/./opt.mk}", "conf/opt.mk", true);
        check("A = $(wildcard conf/)", "conf", true);
        check("A = $(wildcard conf/*.mk)", "conf/opt.mk", false);
        check("A = $(wildcard */opt.mk)", "conf/opt.mk", true);
        check("A = $(wildcard $(dir)/opt.mk)", "a/conf/opt.mk", true);
        check("A = $(wildcard $(dir)/conf/$(arch).mk)", "conf/x.mk", true);
        check("A = $(wildcard $(dir)/conf/$(arch).mk)", "conf/x.c", false);
        check("A = $(wildcard $(files))", "conf/x.c", false);
        check("A = $(addsuffix .mk,$(wildcard x$(y)z$w))", "a/x-z", true);
        check("A = $(addsuffix .mk,$(wildcard x$(y)z$w))", "a/x", false);
        check("A = $(wildcard $", "a", false);
        check("A = $(wildcard ä$ä/ü", "ü", true);
    }
}
