//! Whether a makefile can have meant a name that came or went in a directory that its make listed.
//!
//! GNU make lists the directories of all names that it asks for, so that it need not ask for each. To take every new
//! name there for one that decides what is made would mean that a new file in a directory makes all again. A name counts
//! if the makefile says it, if a glob in it matches it, if a glob of it is not known before variables are
//! replaced, or if an implicit rule may make from it something that is made. Of a path in the makefile each part counts: a glob may be one
//! of directories (`*/module.mk`). But what stands before a slash is only a directory, and so says nothing about a file.
//!
//! An implicit rule may make something from a name with the same beginning and a suffix from which make or the makefile
//! can make something, and from one that fits a pattern of the makefile (`%`) of which another one leads to what is made.
//!
//! The names that make reads without being told (`GNUmakefile`) count always.
//!
//! Recipes do not count, but for what make replaces in them: what they look at is seen.

mod asked;
mod glob;
mod lines;
mod prerequisites;
mod recipes;

use std::collections::{BTreeSet, HashSet};

use rekindle_plan::audit::LeftNames;
use rekindle_plan::trace::name_of;

use asked::Asked;
use glob::{has_glob, matches};
use lines::Kind;

pub(crate) use lines::joined_lines;
pub(crate) use prerequisites::{Prerequisites, speak_of};
pub(crate) use recipes::Recipes;

/// The suffixes that GNU make's own rules make something from (its manual, "Catalogue of Built-In Rules"). `h` is in its
/// list as something that yacc makes.
const BUILT_IN: [&str; 32] = [
    "o", "c", "cc", "C", "cpp", "p", "f", "F", "m", "r", "y", "l", "ym", "yl", "lm", "s", "S", "mod", "sym",
    "def", "info", "dvi", "tex", "texinfo", "texi", "txinfo", "w", "ch", "web", "sh", "elc", "el",
];

/// What make looks for if it is not told of a makefile: the first of these counts.
pub(crate) const DEFAULTS: [&[u8]; 3] = [b"GNUmakefile", b"makefile", b"Makefile"];

/// What a makefile may mean by what it says.
#[derive(Debug, Default)]
pub(crate) struct Makefile {
    /// What ends its paths.
    last: Names,
    /// What stands before a slash in them.
    above: Names,
    /// What it has make ask for.
    asked: Asked,
    /// The beginnings and ends of its patterns.
    patterns: BTreeSet<(String, String)>,
    /// Whether a pattern is not known before variables are replaced.
    has_unknown_pattern: bool,
    /// The suffixes that its suffix rules may make something from.
    suffixes: HashSet<String>,
    /// Whether it says itself what the files of libraries are called.
    chooses_libraries: bool,
}

/// Components of paths.
#[derive(Debug, Default)]
struct Names {
    said: HashSet<String>,
    globs: Vec<String>,
    /// Whether anything may be one of them.
    has_any: bool,
}

impl Makefile {
    pub(crate) fn read(content: &[u8]) -> Makefile {
        let chooses_libraries = has(content, b".LIBPATTERNS");
        let mut makefile = Makefile { chooses_libraries, ..Makefile::default() };
        for (kind, line) in lines::lines(content) {
            let line = String::from_utf8_lossy(&line);
            for word in words(&line) {
                makefile.add_patterns(word);
            }
            match kind {
                Kind::Rule | Kind::Other => makefile.add(&line),
                // Make asks for these itself.
                Kind::Recipe => makefile.add(asked::from_first_call(&line)),
            }
        }
        makefile
    }

    /// Whether it can have meant something of this name, which is or was a directory or not.
    pub(crate) fn may_mean(&self, name: &[u8], is_directory: bool, made: &LeftNames<'_>) -> bool {
        let text = String::from_utf8_lossy(name);
        self.asked.has_unknown_name
            || self.last.may_be(&text)
            || (is_directory && (self.asked.has_unknown_directory || self.above.may_be(&text)))
            || (made.has_kin(name) && self.may_make_from(&text))
            || self.may_make_by_pattern(&text, made)
    }

    /// Whether it has make ask for something of this path by its name, which no listing shows.
    pub(crate) fn asks_for(&self, path: &[u8]) -> bool {
        self.asked.has(path)
    }

    /// Whether what it has make ask for is known only when variables are replaced.
    pub(crate) fn asks_for_variables(&self) -> bool {
        self.asked.has_unknown_name
    }

    /// Whether it says this name.
    pub(crate) fn says(&self, name: &[u8]) -> bool {
        self.last.said.contains(&*String::from_utf8_lossy(name))
    }

    fn add(&mut self, line: &str) {
        for word in words(line) {
            let mut components = word.rsplit('/');
            self.last.add(components.next().unwrap_or_default());
            components.for_each(|component| self.above.add(component));
            if let Some(library) = word.strip_prefix("-l") {
                self.add_library(library);
            }
            if let Some(suffixes) = word.strip_prefix('.') {
                self.suffixes.extend(suffixes.split('.').next().map(str::to_owned));
            }
        }
        self.asked.add(line);
    }

    /// What make looks for in place of `-lname`.
    fn add_library(&mut self, name: &str) {
        let name = if name.contains('$') { "*" } else { name };
        self.last.globs.push(if self.chooses_libraries {
            format!("*{name}*")
        } else {
            format!("lib{name}.*")
        });
    }

    fn add_patterns(&mut self, word: &str) {
        for component in word.split('/') {
            match component.split_once('%') {
                Some(_) if component.contains('$') => self.has_unknown_pattern = true,
                Some((start, end)) => drop(self.patterns.insert((start.to_owned(), end.to_owned()))),
                None => {}
            }
        }
    }

    fn may_make_from(&self, name: &str) -> bool {
        let Some((_, suffix)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
            return true;
        };
        let ends_so = |end: &str| end.strip_suffix(suffix).is_some_and(|before| before.ends_with('.'));
        BUILT_IN.contains(&suffix)
            || self.has_unknown_pattern
            || self.suffixes.contains(suffix)
            || self.patterns.iter().any(|(_, end)| ends_so(end))
    }

    fn may_make_by_pattern(&self, name: &str, made: &LeftNames<'_>) -> bool {
        self.patterns.iter().any(|source| {
            let stem = name.strip_prefix(&*source.0).and_then(|rest| rest.strip_suffix(&*source.1));
            let Some(stem) = stem.filter(|stem| !stem.is_empty()) else { return false };
            let mut targets = self.patterns.iter().filter(|target| *target != source);
            targets.any(|(start, end)| made.has(format!("{start}{stem}{end}").as_bytes()))
        })
    }
}

impl Names {
    fn add(&mut self, component: &str) {
        match component {
            "" | "." | ".." => {}
            // What stands for a variable may be anything.
            _ if has_glob(component) && component.contains('$') => self.has_any = true,
            _ if has_glob(component) => self.globs.push(component.to_owned()),
            _ => drop(self.said.insert(component.to_owned())),
        }
    }

    fn may_be(&self, name: &str) -> bool {
        self.has_any
            || self.said.contains(name)
            || self.globs.iter().any(|glob| matches(glob.as_bytes(), name.as_bytes()))
    }
}

/// Whether make reads the same in both: all but comments and empty lines is alike.
pub(crate) fn are_alike(one: &[u8], other: &[u8]) -> bool {
    lines::lines(one) == lines::lines(other)
}

/// Whether a file is called as only makefiles are. Make can read any other one as a text (`$(file <…)`).
pub(crate) fn is_makefile(path: &[u8]) -> bool {
    let name = name_of(path);
    DEFAULTS.contains(&name)
        || name.starts_with(b"Makefile.")
        || [&b".mk"[..], b".mak", b".make"].iter().any(|end| name.ends_with(end))
}

/// Whether a makefile tells a recipe what is newer than what it makes: `$?`.
pub(crate) fn says_what_is_newer(content: &[u8]) -> bool {
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        match &rest[at + 1..] {
            [b'?', ..] | [b'(' | b'{', b'?', ..] => return true,
            // For the shell.
            [b'$', after @ ..] => rest = after,
            after => rest = after,
        }
    }
    false
}

fn has(content: &[u8], word: &[u8]) -> bool {
    content.windows(word.len()).any(|part| part == word)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || "(){}:=,;\"'|`".contains(c));
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_make_no_difference() {
        let check = |one: &str, other: &str, expected| {
            assert_eq!(are_alike(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
        };
        check("a: b\n\tc\n", "# x\n\na: b# y\n\n# z \\\n more\n\tc\n", true);
        check("a: b\n\tc\n", "a: b\n\tc # x\n", false);
        check("a: b ; c\n", "a: b ; c # x\n", false);
        check("A = b\n", "A = b # x\n", false);
        check("define a\nb\nendef\n", "define a\n\nb\nendef\n", false);
        check("define a\nb\nendef\n", "define a\n# x\nb\nendef\n", false);
        check(".RECIPEPREFIX = >\n", ".RECIPEPREFIX = >\n#\n", false);
        check("a:\n\tb\n", "a:\n", false);
    }

    #[test]
    fn what_is_newer_is_told_by_a_variable() {
        for said in ["$?", "ar r lib.a $(?)", "${?F}", "$$$?"] {
            assert!(says_what_is_newer(said.as_bytes()), "{said}");
        }
        for unsaid in ["$$?", "$(a)?", "?", "$", "$$$$?", ""] {
            assert!(!says_what_is_newer(unsaid.as_bytes()), "{unsaid}");
        }
    }

    /// Whether a makefile may mean a name. Left are `a.o`, `x` and `m.txt`.
    fn means(content: &str, name: &str, is_directory: bool) -> bool {
        let made = ["a.o", "x", "m.txt"].into_iter().map(str::as_bytes).collect();
        Makefile::read(content.as_bytes()).may_mean(name.as_bytes(), is_directory, &made)
    }

    #[test]
    fn a_name_is_meant_by_word_or_glob() {
        let check = |content: &str, name: &str, expected| {
            assert_eq!(means(content, name, false), expected, "{content} {name}");
        };
        check("prog: a.o b.o\n\tcc -o $@ $^\n", "README", false);
        check("prog: a.o b.o\n\tcc -o $@ $^\n", "b.o", true);
        check("prog: a.o b.o\n\tcc -o $@ *.c\n", "c.c", false);
        check("src := $(wildcard src/*.c)\n", "c.c", true);
        check("src := $(wildcard src/*.c)\n", "c.h", false);
        check("prog: -lc\n", "libc.so", true);
        check("prog: -lc\n", "libcc.so", false);
        check("prog: -l$(c)\n", "libc.so", true);
        check(".LIBPATTERNS = %.q\nprog: -lc\n", "c.q", true);
        check("src := $(wildcard $(patterns))\n", "c.h", true);
        check("src := $(wildcard $(dir)/$(kind)*)\n", "c.h", true);
        check("src := $(wildcard d/$(kind).txt d/*.other)\n", "c.txt", true);
        check("src := $(wildcard $(dir)/*.c $(dir)/b/*.c)\n", "c.h", false);
        check("src := $(wildcard $(dir:a/b)/*.c) $(other)\n", "c.h", false);
        check("-include $(wildcard config.mk)\n", "config.mk", true);
        check("-include $(wildcard config.mk)\n", "c.h", false);
        check("a:\n\techo c.c $(wildcard *.h)\n", "c.h", true);
        check("a:\n\techo c.c $(wildcard *.h)\n", "c.c", false);
        check("a:\n\techo '#' $(wildcard *.h)\n", "c.h", true);
        check("strip = sed -e 's|^.*/||;$(x)'\n", "README", false);
        check("clean:\n\trm -f \\\n  *.c\n", "c.c", false);
        check("a: $*.c # *.c\n", "d.c", false);
        check("a: b\\#c $(shell echo '#') *.c\n", "d.c", true);
        check("a: x?y[0-9]z\n", "xay5z", true);
        check("a: *ab*c\n", "aabab-c", true);
        check("a: *ab*c\n", "aabab-", false);
        check(&format!("a: {}\n", "*a".repeat(100)), &"a".repeat(90), false);
        // A tab alone makes no recipe.
        check("FILES = \\\n\t*.c \\\n\tMakefile\nlist: $(FILES)\n\techo $^\n", "d.c", true);
        check("list: \\\n\t*.c\n\techo $^\n", "d.c", true);
        check("\tFILES = *.c\n", "d.c", true);
        check(".RECIPEPREFIX = >\nlist: a\n\tFILES = *.c\n", "d.c", true);
        check("define files\n\t*.c\nendef\n", "d.c", true);
        // What may become a recipe has no comments that make knows.
        check("define gen\n\t@echo '#' $(wildcard *.h)\nendef\nA = # *.c\n", "c.h", true);
        check("define gen\n\t@echo '#' $(wildcard *.h)\nendef\nA = # *.c\n", "d.c", false);
        check("a: ; @echo '#' $(wildcard *.h)\n", "c.h", true);
        check("a: # ; @echo $(wildcard *.h)\n", "c.h", false);
        check(".RECIPEPREFIX = >\na:\n>@echo '#' $(wildcard *.h)\n", "c.h", true);
    }

    /// Files are not called what only leads somewhere.
    #[test]
    fn a_directory_is_meant_by_any_part_of_a_path() {
        let check = |content: &str, name: &str, file, directory| {
            let means = [false, true].map(|is_directory| means(content, name, is_directory));
            assert_eq!(means, [file, directory], "{content} {name}");
        };
        check("src := $(wildcard mods/*/Makefile)\n", "b", false, true);
        check("src := $(wildcard mods/*/)\n", "b", false, true);
        check("src := $(wildcard mods/c*/*.c)\n", "b", false, false);
        check("a: mods/b/x\n", "b", false, true);
        check("a: mods/b\n", "b", true, true);
        check("src := $(wildcard mods/$(name)/x)\n", "b", false, true);
        check("src := $(wildcard $(name)/x $(name)/y/*.c)\n", "b", false, false);
        check("a: ../x ./*.c\n", "b", false, false);
    }

    #[test]
    fn a_name_is_meant_by_what_can_be_made_of_it() {
        let check = |content: &str, name: &str, expected| {
            assert_eq!(means(content, name, false), expected, "{content} {name}");
        };
        check("prog: a.o\n", "a.c", true);
        check("prog: a.o\n", "a.h", false);
        check("prog: b.o\n", "b.c", false);
        check("%.o: %.h\n", "a.h", true);
        check("%.o: %.$(h)\n", "a.h", true);
        check(".x.o:\n\tmake-x $<\n", "a.x", true);
        check(".y.o .x.o :\n\tmake-x $<\n", "a.x", true);
        check("prog: a.o\n", "a", true);
        check("prog: a.o\n", "a.x", false);
        check("%.o: src/y_%.v\n", "y_a.v", true);
        check("%.o: src/y_%.v\n", "y_b.v", false);
        check("%: in/%.txt.in\n", "m.txt.in", false);
        check("%.txt: in/%.txt.in\n", "m.txt.in", true);
        check("out/%: %/list\n", "x", true);
    }
}
