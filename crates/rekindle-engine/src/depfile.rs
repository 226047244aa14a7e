//! What compilers and build tools write for make about what depends on what.
//!
//! Such a file is advice: make takes from it what to look at, not what to run. It is told from a makefile by its content, which
//! is rules without recipes, without variables and without patterns. What it says may be old when it is read. That is harmless for what
//! a compiler makes from the first of its prerequisites, and for the prerequisites themselves. Of all else it may be that the
//! prerequisites are what it is made from (`$^`), so it has to have been made anew if they are others now.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_plan::trace::name_of;

/// The prerequisites of each target, or `None` if it is more than advice.
pub(crate) fn rules(content: &[u8]) -> Option<BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>> {
    let mut rules: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for line in logical_lines(content) {
        let line = match line.iter().position(|byte| *byte == b'#') {
            // `\#` is part of a name.
            Some(at) if at == 0 || line[at - 1] != b'\\' => &line[..at],
            _ => &line[..],
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let is_odd = |byte: &u8| matches!(byte, b'=' | b';' | b'%' | b'|' | b'`' | 0) || *byte == b'(';
        if line.starts_with(b"\t") || line.iter().any(is_odd) {
            return None;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (targets, prerequisites) = (&line[..colon], &line[colon + 1..]);
        let names = |text: &[u8]| -> Vec<Vec<u8>> {
            let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.map(<[u8]>::to_vec).collect()
        };
        let (targets, prerequisites) = (names(targets), names(prerequisites));
        if targets.is_empty() || matches!(&targets[0][..], b"include" | b"-include" | b"sinclude" | b"export")
        {
            return None;
        }
        for target in targets {
            rules.entry(target).or_default().extend(prerequisites.iter().cloned());
        }
    }
    Some(rules)
}

/// Whether a file is CMake's own book of what depends on what, in its build trees for make.
pub(crate) fn is_book_of_cmake(path: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [
        b"compiler_depend.internal",
        b"compiler_depend.make",
        b"compiler_depend.ts",
        b"depend.internal",
        b"depend.make",
        b"cmake.check_cache",
        b"progress.marks",
    ];
    path.windows(12).any(|part| part == b"/CMakeFiles/") && NAMES.contains(&name_of(path))
}

/// Whether a target is made from the first of its prerequisites, whatever the others are; or is a source.
pub(crate) fn is_compiled(target: &[u8]) -> bool {
    const SUFFIXES: [&[u8]; 16] = [
        b"o", b"lo", b"obj", b"d", b"Po", b"Plo", b"dep", b"gch", b"cmi", b"cmx", b"cmo", b"h", b"hh",
        b"hpp", b"inc", b"c",
    ];
    let name = name_of(target);
    name.iter().rposition(|byte| *byte == b'.').is_some_and(|dot| SUFFIXES.contains(&&name[dot + 1..]))
}

fn logical_lines(content: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut continues = false;
    for line in content.split(|byte| *byte == b'\n') {
        let (line, goes_on) = match line.strip_suffix(b"\\") {
            Some(line) => (line, true),
            None => (line, false),
        };
        if !continues {
            lines.push(Vec::new());
        }
        let last = lines.last_mut().expect("it begins with one");
        if continues {
            last.push(b' ');
        }
        last.extend_from_slice(line);
        continues = goes_on;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_without_recipes_are_advice() {
        let check = |content: &str, expected: &[(&str, &[&str])]| {
            let bytes = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
            let expected = expected.iter().map(|(target, names)| (target.as_bytes().to_vec(), bytes(names)));
            assert_eq!(rules(content.as_bytes()), Some(expected.collect()), "{content}");
        };
        check("", &[]);
        check("# dummy\n", &[]);
        check("a.o: a.c \\\n  a.h\n\na.h:\n", &[("a.o", &["a.c", "a.h"]), ("a.h", &[])]);
        check("a.o b.o: c.h\na.o : d.h", &[("a.o", &["c.h", "d.h"]), ("b.o", &["c.h"])]);
    }

    #[test]
    fn what_tells_what_to_run_is_none() {
        let others = [
            "a.o: a.c\n\tcc -c a.c\n",
            "OBJECTS = a.o\n",
            "a.o: ; touch a.o\n",
            "%.o: %.c\n",
            "a.o: $(wildcard *.h)\n",
            "include other.mk\n",
            "-include a:b\n",
            "\u{0}binary",
            "words without a colon\n",
        ];
        for content in others {
            assert_eq!(rules(content.as_bytes()), None, "{content}");
        }
    }
}
