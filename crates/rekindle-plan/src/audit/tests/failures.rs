//! Failures: which are those of a clean build.

use super::builds::{Case, doubts};

/// A header that is made, an object that reads it, and a library that another make makes.
const THEN: &str = "
bash: <b/phase
\tmake: <b/Makefile
\t\tgen: <b/gen.in >b/gen.h
\t\tcc -c a.c: <b/a.c <b/gen.h >b/a.o
\t\tsh -c make: <b/lib/list
\t\t\tmake -C lib: <b/lib/Makefile
\t\t\t\tcc -c l.c: <b/lib/l.c >b/lib/l.o
";
const LEFT: &str = "b/Makefile=m b/a.c=a b/gen.in=g b/gen.h=g b/a.o=ag b/lib/Makefile=m b/lib/list=i b/lib/l.c=l b/lib/l.o=l b/phase=x";

/// What is doubted of a round in which these files have other content and this was done, of which makes said this.
fn check(edited: &[&str], round: &str, said: &str) -> Option<String> {
    let edit = |word: &str| match edited.contains(&word.split('=').next().expect("a path")) {
        true => format!("{word}!!"),
        false => word.to_owned(),
    };
    let after = LEFT.split(' ').map(edit).collect::<Vec<_>>().join(" ");
    let is_source =
        |word: &&str| !["b/gen.h", "b/a.o", "b/lib/l.o"].iter().any(|made| word.starts_with(made));
    let sources = after.split(' ').filter(is_source).collect::<Vec<_>>().join(" ");
    let prepared = edited.join(" ");
    let rounds = [(&*prepared, round, &*after)];
    doubts(&Case { sources: &sources, then: (THEN, LEFT), rounds: &rounds, removed: &[] }, said)
}

#[test]
fn a_command_that_looked_at_nothing_old_fails_in_a_clean_build() {
    let round = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tcc -c a.c: <b/a.c <b/gen.h #1";
    assert_eq!(check(&["b/a.c"], round, "0:a.o"), None);
    let inner = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tsh -c make: <b/lib/list #2\n\t\t\tmake -C lib: <b/lib/Makefile #2\n\t\t\t\tcc -c l.c: <b/lib/l.c #1";
    assert_eq!(check(&["b/lib/l.c"], inner, "1:l.o 0:all"), None);
    // Others end well beside it.
    let beside = format!("{round}\n\t\tcc -c other.c: <b/a.c");
    assert_eq!(check(&["b/a.c"], &beside, "0:a.o"), None);
}

#[test]
fn a_command_that_looked_at_something_old_may_not() {
    let round = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tcc -c a.c: <b/a.c <b/gen.h #1";
    let doubt = check(&["b/a.c", "b/gen.in"], round, "0:a.o").expect("the header is old");
    assert!(doubt.contains("gen.h"), "{doubt}");
    // It is told otherwise by a makefile that changed.
    assert!(check(&["b/a.c", "b/Makefile"], round, "0:a.o").is_some());
}

#[test]
fn who_fails_by_itself_may_not() {
    let alone = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tcc -c a.c: <b/a.c <b/gen.h >b/a.o";
    let unseen = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tcc -c a.c: <b/a.c <b/gen.h #?";
    let shell = "bash: <b/phase #1\n\tmake: <b/Makefile\n\t\tcc -c a.c: <b/a.c <b/gen.h >b/a.o";
    let later = "bash: <b/phase #1\n\tmake: <b/Makefile #2\n\t\tcc -c a.c: <b/a.c #1\n\ttest: <b/a.c #1";
    let inner = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tcc -c a.c: <b/a.c #1\n\t\tsh -c make: <b/lib/list #2\n\t\t\tmake -C lib: <b/lib/Makefile #2";
    for (round, said) in
        [(alone, ""), (unseen, "0:a.o"), (shell, ""), (later, "0:a.o"), (inner, "0:a.o 1:all")]
    {
        assert!(check(&["b/a.c"], round, said).is_some(), "{round}");
    }
}

#[test]
fn make_may_have_failed_for_something_else_than_what_failed() {
    // `$(shell …)` fails without harm, and then make knows of no way to make something.
    let round = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tgrep x: <b/a.c #1";
    assert!(check(&["b/a.c"], round, "").is_some());
    let after = format!("{round}\n\t\tcc -c other.c: <b/a.c");
    assert!(check(&["b/a.c"], &after, "").is_some());
    // It says more than was seen.
    assert!(check(&["b/a.c"], round, "0:a.o 0:b.o").is_some());
    assert!(check(&["b/a.c"], round, "0:a.o 1:b.o").is_some());
    // In something that ended well another make may fail as it likes.
    let inside = "bash: <b/phase #2\n\tmake: <b/Makefile #2\n\t\tsh probe: <b/a.c\n\t\t\tmake -q: <b/a.c #1\n\t\tcc: <b/a.c #1";
    assert_eq!(check(&["b/a.c"], inside, "0:a.o"), None);
}
