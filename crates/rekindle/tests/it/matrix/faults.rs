//! Each rule of the audit is needed: with one of them switched off, there is a project that comes out wrong.
//!
//! The variable that switches it off is heeded by builds for tests only.

use super::edit::{self, Edit, remove, replace, write};
use super::make::{MANIFEST, with_makefile};
use super::{Built, tree};
use crate::project::Place;

const VARIABLE: &str = "REKINDLE_AUDIT_WITHOUT";

const PROGRAM: &str = "\
OBJECTS = main.o a.o b.o
CFLAGS = -O1
prog: $(OBJECTS)
\t$(CC) $(CFLAGS) -o $@ $^
install: prog
\tinstall -D prog $(PREFIX)/bin/prog
";

/// One output that a makefile makes from one input, and more that it does not say.
fn from_input(rule: &str) -> Vec<Edit> {
    let makefile = format!("{rule}install: out\n\tinstall -D -m 644 out $(PREFIX)/out\n");
    vec![write("rekindle.toml", MANIFEST), write("Makefile", makefile), write("in", "in\n")]
}

/// The edited project is built with all rules, and without one of them. Only then it differs from a clean build.
fn check(rule: &str, project: &[Edit], edits: &[Edit]) {
    let build = |without: Option<&str>| {
        let place = Place::new();
        let root = place.path().join("project");
        edit::make(&root, project);
        place.build(&root, &[]);
        edits.iter().for_each(|edit| edit.apply(&root));
        let mut invocation = place.rekindle(&["build", "--no-link", "--json", "-L"]).arg(&root);
        if let Some(rule) = without {
            invocation = invocation.env(VARIABLE, rule);
        }
        let ours = Built::from(&invocation.run()).good();
        let clean = Place::new();
        let theirs = Built::of(&clean, &root, &["--clean"]).good();
        assert_eq!(
            ours.verdict("buildPhase"),
            if without.is_some() { "seed" } else { ours.verdict("buildPhase") }
        );
        let differs =
            tree::differences(&ours.outputs(&place).expect("built"), &theirs.outputs(&clean).expect("built"));
        (differs, ours.told)
    };
    let (differs, told) = build(None);
    assert!(differs.is_empty(), "{rule}: {differs:?} not as in a clean build\n{told}");
    let (differs, told) = build(Some(rule));
    assert!(!differs.is_empty(), "{rule}: is right without it\n{told}");
}

#[test]
fn without_producers() {
    check("producer", &with_makefile(PROGRAM), &[write("a.h", "#define A 9\n")]);
}

#[test]
fn without_absence() {
    let mut project = with_makefile(&PROGRAM.replace("-O1", "-O1 -Ifirst -Isecond"));
    project.extend([
        remove("a.h"),
        replace("main.c", "\"a.h\"", "<a.h>"),
        replace("a.c", "\"a.h\"", "<a.h>"),
        write("first/other.h", ""),
        write("second/a.h", "#define A 1\n"),
    ]);
    check("absence", &project, &[write("first/a.h", "#define A 9\n")]);
}

#[test]
fn without_listings() {
    let manifest = format!(
        "{MANIFEST}build-system = \"custom\"\n[package.phases]\nbuild = '[ -e list ] || ls share > list'\n\
         install = 'install -D -m 644 list $out/list'\n"
    );
    let project = [write("rekindle.toml", manifest), write("share/one", "1\n"), write("share/two", "2\n")];
    check("listing", &project, &[write("share/three", "3\n")]);
    check("listing", &project, &[remove("share/two")]);
}

#[test]
fn without_orchestrators() {
    let mut project = with_makefile(&PROGRAM.replace("-O1", "-O1 -DB=2"));
    project.push(replace("b.c", "2", "B"));
    check("orchestrator", &project, &[replace("Makefile", "-DB=2", "-DB=7")]);
}

#[test]
fn without_old_products() {
    let project = from_input("out: in\n\tcat in out > new 2> /dev/null || true\n\tmv new out\n");
    check("old-product", &project, &[write("in", "other\n")]);
}

#[test]
fn without_informers() {
    let mut project = from_input("V := $(shell cat version)\nout: in\n\techo $(V) | cat - in > out\n");
    project.push(write("version", "1\n"));
    check("informer", &project, &[write("version", "2\n")]);
}
