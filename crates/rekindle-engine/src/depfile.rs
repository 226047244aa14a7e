//! What compilers and build tools write for make about what depends on what.
//!
//! Such a file is advice: make takes from it what to look at, not what to run. It is told from a makefile by its content, which
//! is rules without recipes, without variables and without patterns. Whether it may be old is the audit's to say.

use std::collections::BTreeMap;

use rekindle_plan::audit::Advice;
use rekindle_plan::trace::name_of;

use crate::makefile;

/// What a file says, or `None` if it is more than advice.
pub(crate) fn advice(content: &[u8]) -> Option<Advice> {
    let mut rules = BTreeMap::new();
    let mut remarks = Vec::new();
    for line in makefile::joined_lines(content) {
        let (line, remark) = match line.iter().position(|byte| *byte == b'#') {
            // `\#` is part of a name.
            Some(at) if at == 0 || line[at - 1] != b'\\' => line.split_at(at),
            _ => (&line[..], &[][..]),
        };
        if !remark.is_empty() {
            remarks.extend_from_slice(remark);
            remarks.push(b'\n');
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        // A glob asks a directory.
        let is_odd = |byte: &u8| b"=;%|`(*?[~\0".contains(byte);
        if line.starts_with(b"\t") || line.iter().any(is_odd) || has_variable(line) {
            return None;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (targets, prerequisites) = (&line[..colon], &line[colon + 1..]);
        let names = |text: &[u8]| -> Vec<Vec<u8>> {
            let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.map(<[u8]>::to_vec).collect()
        };
        let (targets, prerequisites) = (names(targets), names(prerequisites));
        let [first, ..] = &targets[..] else { return None };
        if matches!(&first[..], b"include" | b"-include" | b"sinclude" | b"export" | b"unexport")
            || prerequisites.first().is_some_and(|name| name.starts_with(b":"))
            || targets.iter().any(|target| is_special(target))
        {
            return None;
        }
        // One without prerequisites is there for files that went (`-MP`), and says nothing about what anything is made from.
        for target in targets.into_iter().filter(|_| !prerequisites.is_empty()) {
            let known: &mut Vec<Vec<u8>> = rules.entry(target).or_default();
            known.extend(prerequisites.iter().cloned());
        }
    }
    if rules.is_empty() {
        remarks = content.to_vec();
    }
    Some(Advice { rules, remarks })
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

/// Whether make replaces anything in a line. `$$` is part of a name.
fn has_variable(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        match &rest[at + 1..] {
            [b'$', after @ ..] => rest = after,
            _ => return true,
        }
    }
    false
}

/// Whether a target tells make how to go about it: `.PHONY`, `.EXPORT_ALL_VARIABLES`.
fn is_special(target: &[u8]) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
    target.strip_prefix(b".").is_some_and(|word| word.iter().all(is_of_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_without_recipes_are_advice() {
        let check = |content: &str, expected: &[(&str, &[&str])], remarks: &str| {
            let bytes = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
            let expected = expected.iter().map(|(target, names)| (target.as_bytes().to_vec(), bytes(names)));
            let expected = Advice { rules: expected.collect(), remarks: remarks.into() };
            assert_eq!(advice(content.as_bytes()), Some(expected), "{content}");
        };
        check("", &[], "");
        check(" # dummy\n\n", &[], " # dummy\n\n");
        check("a.h:\n", &[], "a.h:\n");
        check("a.o: a.c \\\n  a.h\n\na.h:\n", &[("a.o", &["a.c", "a.h"])], "");
        check("a$$b.o: ../b.c\n", &[("a$$b.o", &["../b.c"])], "");
        check("a.o b.o: c.h # c\n#d\na.o : d.h", &[("a.o", &["c.h", "d.h"]), ("b.o", &["c.h"])], "# c\n#d\n");
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
            "list: data/*.txt\n",
            "list: ${DATA}\n",
            "list: $@.txt\n",
            "list:: data\n",
            ".PHONY: list\n",
        ];
        for content in others {
            assert_eq!(advice(content.as_bytes()), None, "{content}");
        }
    }
}
