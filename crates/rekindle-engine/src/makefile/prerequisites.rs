//! Recipes that speak of all that they make something from: `$^` and `$+`.
//!
//! A list of what objects are made from tells such a recipe what there is, and not only when to run. A rule counts by the last
//! components of its targets. The variables in these are replaced by what any makefile of the same make says that they are; what
//! that leaves open may be anything.

use std::collections::HashMap;
use std::rc::Rc;

use rekindle_plan::trace::name_of;

use super::glob::matches;
use super::lines::{self, Kind};

/// What a makefile says of such recipes.
#[derive(Debug, Default)]
pub(crate) struct Prerequisites {
    /// The targets of rules with such a recipe.
    targets: Vec<Vec<u8>>,
    /// What is said of each variable that is said to be something.
    variables: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Whether it speaks of them where any recipe may take it from.
    are_anywhere: bool,
}

impl Prerequisites {
    pub(crate) fn read(content: &[u8]) -> Prerequisites {
        let mut read = Prerequisites::default();
        let mut rule: Vec<u8> = Vec::new();
        for (kind, line) in lines::lines(content) {
            let speaks = speaks(&line);
            match kind {
                Kind::Rule => rule = line,
                Kind::Recipe => {}
                Kind::Other => {
                    read.are_anywhere |= speaks;
                    read.add_variable(&line);
                    continue;
                }
            }
            if speaks {
                let targets = &rule[..lines::end_of_targets(&rule)];
                read.targets.extend(words(targets).map(<[u8]>::to_vec));
            }
        }
        read
    }

    fn add_variable(&mut self, line: &[u8]) {
        let Some(at) = lines::outside_of_calls(line).find(|at| line[*at] == b'=') else { return };
        let is_of_name = |byte: &u8| !byte.is_ascii_whitespace() && !b":?+!".contains(byte);
        // `export NAME := value`.
        let name = line[..at].split(|byte| !is_of_name(byte)).rfind(|word| !word.is_empty());
        if let Some(name) = name {
            self.variables.entry(name.to_vec()).or_default().push(line[at + 1..].to_vec());
        }
    }
}

/// Whether a recipe for something with one of these last components speaks of all that it is made from, in one of the makefiles of a
/// make.
pub(crate) fn speak_of(makefiles: &[Rc<Prerequisites>], names: &[&[u8]]) -> bool {
    let may_be = |target: &Vec<u8>| {
        globs(makefiles, target).iter().any(|glob| names.iter().any(|name| matches(glob, name)))
    };
    makefiles.iter().any(|makefile| makefile.are_anywhere || makefile.targets.iter().any(may_be))
}

/// What the last component of a target may be.
fn globs(makefiles: &[Rc<Prerequisites>], target: &[u8]) -> Vec<Vec<u8>> {
    let Some((before, name, after)) = first_variable(target) else {
        return vec![last_as_glob(makefiles, target)];
    };
    let words = values(makefiles, name).flat_map(|value| words(value));
    let globs: Vec<_> = words.map(|word| last_as_glob(makefiles, &[before, word, after].concat())).collect();
    if globs.is_empty() { vec![last_as_glob(makefiles, target)] } else { globs }
}

/// The last component of a path, with a star for what a pattern leaves open, and from the first variable on that may be something.
fn last_as_glob(makefiles: &[Rc<Prerequisites>], path: &[u8]) -> Vec<u8> {
    let mut known = path.to_vec();
    let mut is_open = false;
    while let Some((before, name, after)) = first_variable(&known) {
        let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        // What programs end in (`server$(EXEEXT)`) is nothing if nobody says it. Of a directory (`$(O)/a.o`) nothing is asked.
        let is_unset = name.iter().any(u8::is_ascii_alphabetic) && values(makefiles, name).next().is_none();
        let is_nothing = is_name && (after.contains(&b'/') || (is_unset && !name_of(before).is_empty()));
        is_open = !is_nothing;
        known = if is_open { before.to_vec() } else { [before, after].concat() };
        if is_open {
            break;
        }
    }
    let known = name_of(&known);
    // A suffix rule.
    let is_of_suffixes = known.starts_with(b".") && known.len() > 1;
    let suffix = known.iter().rposition(|byte| *byte == b'.').filter(|_| is_of_suffixes);
    let known = suffix.map_or(known, |at| &known[at..]);
    let star = |is: bool| if is { &b"*"[..] } else { b"" };
    let known: Vec<u8> = known.iter().map(|byte| if *byte == b'%' { b'*' } else { *byte }).collect();
    [star(is_of_suffixes), &known, star(is_open)].concat()
}

/// What stands before the first variable of a text, what that is called, and what stands behind it.
fn first_variable(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let start = text.iter().position(|byte| *byte == b'$')?;
    let rest = &text[start + 1..];
    let end = rest.iter().position(|byte| matches!(byte, b')' | b'}'));
    let end = end.filter(|_| matches!(rest[0], b'(' | b'{'));
    Some(
        end.map_or((&text[..start], &[][..], &[][..]), |end| {
            (&text[..start], &rest[1..end], &rest[end + 1..])
        }),
    )
}

/// What a variable is said to be.
fn values<'a>(makefiles: &'a [Rc<Prerequisites>], name: &'a [u8]) -> impl Iterator<Item = &'a Vec<u8>> {
    let values = makefiles.iter().filter_map(move |makefile| makefile.variables.get(name)).flatten();
    values.filter(|value| !value.trim_ascii().is_empty())
}

/// Whether a line speaks of all that something is made from.
fn speaks(line: &[u8]) -> bool {
    let dollars = line.iter().enumerate().filter(|(_, byte)| **byte == b'$').map(|(at, _)| at);
    // In what becomes a rule later there are two dollars.
    dollars
        .map(|at| &line[at + 1..])
        .any(|after| matches!(after, [b'^' | b'+', ..] | [b'(' | b'{', b'^' | b'+', ..]))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_speaks_of_what_its_target_is_made_from() {
        let check = |makefiles: &[&str], expected: bool| {
            let read = |text: &&str| Rc::new(Prerequisites::read(text.as_bytes()));
            let read: Vec<_> = makefiles.iter().map(read).collect();
            assert_eq!(speak_of(&read, &[b"a.o", b"b.o"]), expected, "{makefiles:?}");
        };
        for said in ["$^", "$+", "$(^F)", "${+}", "$(filter %.h,$^)", "$$^"] {
            check(&[&format!("%.o: %.c\n\techo {said}\n")], true);
        }
        for unsaid in ["$<", "$?", "^", "$(a)^", "$"] {
            check(&[&format!("%.o: %.c\n\techo {unsaid}\n")], false);
        }
        let rule = |target: &str| format!("{target}: x\n\techo $<\n\techo $^\n");
        for target in
            ["sub/a.o", "x b.o", "$(O)/%.o", ".c.o", "$(OBJECTS)", "$(N:.c=.o)", "%", "$(1)", "$(call f, x)"]
        {
            check(&[&rule(target)], true);
        }
        for target in ["prog", "c.o", "$(O)/c.o", "lib%.so", ".c.so"] {
            check(&[&rule(target)], false);
        }
        check(&[&rule("$(NAME)"), "export NAME ?= server$(SUFFIX)\n"], false);
        check(&[&rule("$(NAME)"), "NAME = server$(SUFFIX)\nNAME := x a$(SUFFIX)\n", "SUFFIX = .o\n"], true);
        check(&[&rule("$(NAME)"), "NAME = a$(SUFFIX)\nSUFFIX =\n"], false);
        check(&[&rule("a$(1)")], true);
        check(&[&rule("out/$(NAME).o"), "NAME := b\n"], true);
        check(&[&rule("out/$(NAME).o"), "NAME := c\n"], false);
        check(&["compile = cc $^\n%.o: %.c\n\t$(compile)\n"], true);
        check(&["a.o: X = $^\n"], true);
        check(&["prog: a.o ; cc $^\n"], false);
        check(&["prog: a.o\n\tcc $^\n%.o: %.c\n\tcc $<\n"], false);
        check(&["a.o: a.c ; cc $^\n"], true);
        check(&[""], false);
    }
}
