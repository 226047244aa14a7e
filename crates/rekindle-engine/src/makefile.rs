//! Whether a makefile can have meant a name that came or went in a directory that its make listed.
//!
//! GNU make lists the directories of all names that it asks for, so that it need not ask for each. To take every new
//! name there for one that decides what is made would mean that a new file in a directory makes all again. A name counts
//! if the makefile says it, if a glob in it matches it, if a glob of it is not known before variables are
//! replaced, or if an implicit rule may make from it something that is made: a name with the same beginning and a suffix
//! from which make or the makefile can make something.
//!
//! Recipes do not count, but for what make replaces in them: what they look at is seen.

/// The suffixes that GNU make's own rules make something from (its manual, "Catalogue of Built-In Rules"). `h` is in its
/// list as something that yacc makes.
const BUILT_IN: [&str; 32] = [
    "o", "c", "cc", "C", "cpp", "p", "f", "F", "m", "r", "y", "l", "ym", "yl", "lm", "s", "S", "mod", "sym",
    "def", "info", "dvi", "tex", "texinfo", "texi", "txinfo", "w", "ch", "web", "sh", "elc", "el",
];

/// Whether the makefile can have meant a file of this name. `has_kin` says whether something is made that begins as it does, up to
/// the last dot.
pub(crate) fn may_mean(content: &[u8], name: &[u8], has_kin: bool) -> bool {
    let text = String::from_utf8_lossy(content);
    let name = String::from_utf8_lossy(name);
    let suffix = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, suffix)| suffix);
    if has_kin && may_make_from(&text, suffix) {
        return true;
    }
    let mut in_recipe = false;
    for line in text.lines() {
        let mut line = line;
        if line.starts_with('\t') || in_recipe {
            in_recipe = line.ends_with('\\');
            // Make asks for these itself.
            let Some(asks) = line.find("wildcard ") else { continue };
            line = &line[asks..];
        }
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let words = line.split(|c: char| c.is_whitespace() || "(){}:=,;\"'|`".contains(c));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let asks = words.contains(&"wildcard");
        if asks && is_of_variables(line) {
            return true;
        }
        if words.iter().any(|word| may_be(word, &name)) {
            return true;
        }
        // The pattern is in a variable.
        if asks && !words.iter().any(|word| has_glob(word)) {
            return true;
        }
    }
    false
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

/// The recipe in a makefile for what lies at `path`, wherever the makefile is read; `None` if it has no rule for it.
pub(crate) fn recipe(content: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut recipe: Option<Vec<u8>> = None;
    let mut is_its = false;
    for line in content.split(|byte| *byte == b'\n') {
        if line.starts_with(b"\t") {
            if is_its && let Some(recipe) = &mut recipe {
                recipe.extend_from_slice(line);
            }
        } else if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let mut targets =
                line[..colon].split(u8::is_ascii_whitespace).filter(|target| !target.is_empty());
            is_its = targets.any(|target| {
                path.strip_suffix(target).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
            });
            if is_its && recipe.is_none() {
                recipe = Some(Vec::new());
            }
        }
    }
    recipe
}

/// Whether a line asks for a name (`$(wildcard …)`) of which a part is known only when variables are replaced, other than
/// the directory.
fn is_of_variables(line: &str) -> bool {
    line.split("wildcard").skip(1).any(|asked| {
        let mut in_variable = 0;
        let mut has_variable = false;
        for c in asked.chars() {
            match c {
                '$' => has_variable = true,
                '(' | '{' => in_variable += 1,
                // The last one is that of the call.
                ')' | '}' if in_variable == 0 => return has_variable,
                ')' | '}' => in_variable -= 1,
                '/' if in_variable == 0 => has_variable = false,
                c if c.is_whitespace() && in_variable == 0 && has_variable => return true,
                _ => {}
            }
        }
        has_variable
    })
}

fn may_make_from(text: &str, suffix: Option<&str>) -> bool {
    let Some(suffix) = suffix else { return true };
    BUILT_IN.contains(&suffix)
        || text.contains(&format!("%.{suffix}"))
        || text.lines().any(|line| {
            // A suffix rule: `.x:` or `.x.o:`.
            let rest = line.strip_prefix('.').and_then(|line| line.strip_prefix(suffix));
            rest.is_some_and(|rest| rest.starts_with(['.', ':', ' ']))
        })
}

fn has_glob(word: &str) -> bool {
    // `$*`, `$?` and `$[` are variables.
    let mut before = ' ';
    word.chars().any(|c| {
        let is_glob = "*?[".contains(c) && before != '$';
        before = c;
        is_glob
    })
}

/// Whether a word of a makefile is this name, or a glob that matches it, whatever directory it speaks of.
fn may_be(word: &str, name: &str) -> bool {
    let last = word.rsplit('/').next().unwrap_or_default();
    if !has_glob(last) {
        return last == name;
    }
    // What stands for a variable may be anything.
    last.contains('$') || matches(last.as_bytes(), name.as_bytes())
}

/// A glob without directories. Brackets match any character, which is rather too much than too little. Of the stars only the
/// last one is tried again, so a hostile glob costs no more than its length times that of the name.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        let next = match glob.get(at) {
            Some(b'*') => {
                star = Some((at + 1, place));
                at += 1;
                continue;
            }
            Some(b'[') => Some(bracket_end(glob, at)),
            Some(b'?') => Some(at + 1),
            Some(byte) if *byte == name[place] => Some(at + 1),
            _ => None,
        };
        match (next, &mut star) {
            (Some(next), _) => (at, place) = (next, place + 1),
            (None, Some((after, from))) => {
                *from += 1;
                (at, place) = (*after, *from);
            }
            (None, None) => return false,
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

/// Where a glob goes on after the bracket at `at`.
fn bracket_end(glob: &[u8], at: usize) -> usize {
    // The first character after it belongs to it, even if it closes.
    let closing = glob.iter().skip(at + 2).position(|byte| *byte == b']');
    closing.map_or(glob.len(), |closing| at + 2 + closing + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_of_a_target_is_its_own() {
        let content = b"a/b.o: flags\n\tcc one\n\tcc two\n\nc.txt: x\nc.txt: y\n\tgen\nall: a/b.o\n";
        let recipe = |path: &str| {
            recipe(content, path.as_bytes()).map(|recipe| String::from_utf8(recipe).expect("text"))
        };
        assert_eq!(recipe("build/a/b.o").as_deref(), Some("\tcc one\tcc two"));
        assert_eq!(recipe("build/c.txt").as_deref(), Some("\tgen"));
        assert_eq!(recipe("all").as_deref(), Some(""));
        assert_eq!(recipe("build/xb.o"), None);
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

    #[test]
    fn a_name_is_meant_by_word_glob_or_rule() {
        let check = |content: &str, name: &str, has_kin, expected| {
            assert_eq!(may_mean(content.as_bytes(), name.as_bytes(), has_kin), expected, "{content} {name}");
        };
        check("prog: a.o b.o\n\tcc -o $@ $^\n", "README", false, false);
        check("prog: a.o b.o\n\tcc -o $@ $^\n", "b.o", false, true);
        check("prog: a.o b.o\n\tcc -o $@ *.c\n", "c.c", false, false);
        check("src := $(wildcard src/*.c)\n", "c.c", false, true);
        check("src := $(wildcard src/*.c)\n", "c.h", false, false);
        check("src := $(wildcard $(patterns))\n", "c.h", false, true);
        check("src := $(wildcard $(dir)/$(kind)*)\n", "c.h", false, true);
        check("src := $(wildcard d/$(kind).txt d/*.other)\n", "c.txt", false, true);
        check("src := $(wildcard $(dir)/*.c $(dir)/b/*.c)\n", "c.h", false, false);
        check("src := $(wildcard $(dir:a/b)/*.c) $(other)\n", "c.h", false, false);
        check("a:\n\techo c.c $(wildcard *.h)\n", "c.h", false, true);
        check("a:\n\techo c.c $(wildcard *.h)\n", "c.c", false, false);
        check("strip = sed -e 's|^.*/||;$(x)'\n", "README", false, false);
        check("clean:\n\trm -f \\\n  *.c\n", "c.c", false, false);
        check("a: $*.c # *.c\n", "d.c", false, false);
        check("a: x?y[0-9]z\n", "xay5z", false, true);
        check("a: *ab*c\n", "aabab-c", false, true);
        check("a: *ab*c\n", "aabab-", false, false);
        check(&format!("a: {}\n", "*a".repeat(100)), &"a".repeat(90), false, false);
        check("prog: a.o\n", "a.c", true, true);
        check("prog: a.o\n", "a.h", true, false);
        check("%.o: %.h\n", "a.h", true, true);
        check(".x.o:\n\tmake-x $<\n", "a.x", true, true);
        check("prog: a.o\n", "a", true, true);
        check("prog: a.o\n", "a.x", true, false);
    }
}
