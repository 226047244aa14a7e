//! Builds that fail, and the next one, which goes on from where they came to. The judges are the log of what the build tool
//! ran, and a clean build in another store.

use std::fs;

use crate::checkpoints::json;
use crate::slips::{Built, Project};

/// Six sources and a library of one in a directory of its own; the headers are named by nobody.
const RULES: &str = "OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))\n\
    prog: $(OBJECTS) lib/l.o\n\t@echo LINK; gcc -o $@ $^\n\
    %.o: %.c\n\t@echo COMPILE $<; gcc -c -o $@ $<\n\
    lib/l.o: FORCE\n\t@$(MAKE) -C lib l.o\n\
    FORCE:\n.PHONY: FORCE\n\
    install: prog\n\tinstall -D prog $(PREFIX)/prog\n";
const LIBRARY: &str = "l.o: l.c\n\t@echo COMPILE $<; gcc -c -o $@ $<\n";
const SLIP: &str = "int f5(void) { return G; }\n";

fn project(makefile: &str) -> Project {
    let project = Project::of(&[
        ("Makefile", makefile),
        ("lib/Makefile", LIBRARY),
        ("lib/l.c", "int l(void) { return 0; }\n"),
        ("h.h", "#define H 1\n"),
        ("main.c", "int f5(void);\nint main(void) { return f5() - 1; }\n"),
    ]);
    for number in 1..=6 {
        let text = format!("#include \"h.h\"\nint f{number}(void) {{ return H; }}\n");
        project.put(&format!("f{number}.c"), &text);
    }
    project
}

/// Builds what fails, and of which all is kept that was built.
fn fails(project: &Project) -> Built {
    let failed = project.build();
    assert!(!failed.success && failed.failure["goesOn"] == true, "{}\n{}", failed.failure, failed.errors);
    assert!(failed.errors.contains("the next build goes on from there"), "{}", failed.errors);
    failed
}

#[test]
fn what_was_compiled_before_a_mistake_is_not_compiled_again() {
    let project = project(RULES);
    project.put("f5.c", SLIP);
    let failed = fails(&project);
    assert_eq!(failed.work, ["f1.c", "f2.c", "f3.c", "f4.c", "f5.c"], "{}", failed.errors);
    // Unchanged it fails again, and nothing else is compiled.
    let again = fails(&project);
    assert_eq!(
        (again.code, again.work.as_slice()),
        (failed.code, &["f5.c".to_owned()][..]),
        "{}",
        again.errors
    );
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let mended = project.builds();
    assert_eq!(mended.work, ["f5.c", "f6.c", "main.c", "l.c", "LINK"], "{}", mended.errors);
}

#[test]
fn a_header_that_is_edited_with_the_mistake_counts_for_all_that_read_it() {
    let project = project(RULES);
    project.put("f5.c", SLIP);
    fails(&project);
    project.put("h.h", "#define H 2\n");
    project.put("f5.c", "#include \"h.h\"\nint f5(void) { return H - 1; }\n");
    let mended = project.builds();
    // Nobody says what depends on the header: the audit has seen it.
    for source in ["f1.c", "f2.c", "f3.c", "f4.c"] {
        assert_eq!(mended.work.iter().filter(|work| *work == source).count(), 1, "{:?}", mended.work);
    }
}

#[test]
fn what_was_compiled_after_an_edit_is_kept_as_well() {
    let project = project(RULES);
    project.builds();
    project.put("h.h", "#define H 1 + 0\n");
    for number in 1..=4 {
        let text = format!("#include \"h.h\"\nint f{number}(void) {{ return H + 1; }}\n");
        project.put(&format!("f{number}.c"), &text);
    }
    project.put("f5.c", SLIP);
    let failed = fails(&project);
    assert_eq!(failed.work, ["f1.c", "f2.c", "f3.c", "f4.c", "f5.c"], "{}", failed.errors);
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let mended = project.builds();
    // `f6.o` was made from the old header and so is not kept, although no rule says that it depends on it.
    assert_eq!(mended.work, ["f5.c", "f6.c", "LINK"], "{}", mended.errors);
}

#[test]
fn a_file_of_which_the_recipe_failed_later_is_made_again() {
    let rules = "text: a.out b.out\n\tcat $^ > $@\n\
        %.out: %.in\n\t@echo COMPILE $<; cp $< $@\n\tsh post.sh\n\
        install: text\n\tinstall -D text $(PREFIX)/prog\n";
    let project = project(rules);
    project.put("a.in", "a\n");
    project.put("b.in", "b\n");
    // What the second line does it does to what the first has made, and it is told the same each time.
    let post = "for f in *.out; do grep -q end $f || echo end >> $f; done\n";
    project.put("post.sh", &format!("set -e\ntest -f b.out\n{post}"));
    let failed = fails(&project);
    assert_eq!(failed.work, ["a.in"], "{}", failed.errors);
    // In a clean build it fails each time, as there is no `b.out` yet.
    assert_eq!(fails(&project).work, ["a.in"]);
    project.put("post.sh", post);
    project.builds();
}

#[test]
fn what_cannot_be_told_apart_is_not_kept() {
    let project = project(
        "prog: FORCE\n\t@echo x >> log; gcc -c f1.c; cp log $@\n.PHONY: FORCE\n\
        install: prog\n\tinstall -D prog $(PREFIX)/prog\n",
    );
    // No build tool has started it.
    let manifest = |last: &str| {
        format!(
            "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
             build = \"echo x >> log; gcc -c f1.c; sh {last}\"\ninstall = \"install -D log $out/prog\"\n"
        )
    };
    project.put("rekindle.toml", &manifest("last.sh"));
    project.put("last.sh", "exit 3\n");
    let failed = project.build();
    assert_eq!((failed.success, failed.failure["goesOn"].as_bool()), (false, Some(false)));
    let why = failed.failure["goesNotOn"].as_str().expect("a reason");
    assert!(why.contains("build tool"), "{why}");
    project.put("last.sh", "exit 0\n");
    let built = project.builds();
    let text = fs::read(project.place.physical(&built.out).join("prog")).expect("it was built");
    assert_eq!(text, b"x\n");
}

#[test]
fn what_has_other_names_is_not_kept() {
    let fails = |rules: &str, reason: &str| {
        let project = project(&format!("{rules}install: prog\n\tinstall -D prog $(PREFIX)/prog\n"));
        project.put("one.in", "one\n");
        project.builds();
        project.put("f1.c", "edited\n");
        project.put("slip", "");
        let failed = project.build();
        assert_eq!((failed.success, failed.failure["goesOn"].as_bool()), (false, Some(false)));
        let why = failed.failure["goesNotOn"].as_str().expect("a reason");
        assert!(why.contains(reason), "{why}");
        fs::remove_file(project.root.join("slip")).expect("our own file");
        project.builds();
    };
    // What failed has written to it.
    fails(
        "prog: one.o f1.c\n\tcat f1.c >> one.o && test ! -e slip && cp other.o $@\n\
        one.o: one.in\n\tcp one.in $@; ln -f $@ other.o\n",
        "other.o is another name of something half made",
    );
    // Another command has, and the other name has what it had before, as that lies in a layer below.
    fails(
        "prog: text\n\ttest ! -e slip && cp other.o $@\n\
        text: names f1.c\n\tcat f1.c > one.o; touch $@\n\
        names: one.in\n\tcp one.in one.o; ln -f one.o other.o; touch $@\n",
        "other.o was the same file as another one",
    );
}

#[test]
fn many_failures_do_not_pile_up() {
    let project = project(RULES);
    let checkpoints = || {
        let listed = json(&project.place.rekindle(&["checkpoint", "list", "--json"]).run());
        listed["checkpoints"].as_array().expect("a list").clone()
    };
    for slip in 0..10 {
        project.put("f5.c", &format!("int f5(void) {{ return G{slip}; }}\n"));
        let failed = fails(&project);
        assert_eq!(failed.work.len(), if slip == 0 { 5 } else { 1 }, "{:?}", failed.work);
    }
    assert!(checkpoints().len() <= 2, "{:?}", checkpoints());
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let good = project.builds();
    assert_eq!(good.work, ["f5.c", "f6.c", "main.c", "l.c", "LINK"], "{}", good.errors);
    for slip in 0..10 {
        project.put("f5.c", &format!("int f5(void) {{ return G{slip}; }}\n"));
        assert_eq!(fails(&project).work.len(), 1);
    }
    let left = checkpoints();
    assert!(left.len() <= 3, "{left:?}");
    assert!(left.iter().any(|one| one["failed"].is_null()), "{left:?}");
    let text = project.place.rekindle(&["checkpoint", "list"]).run().stdout();
    assert!(text.contains("buildPhase failed"), "{text}");
}

#[test]
fn a_build_that_failed_never_counts_as_one_that_did_not() {
    let project = project(RULES);
    project.put("f5.c", SLIP);
    let first = fails(&project);
    let again = fails(&project);
    assert_eq!(again.code, first.code);
    let prepared = project.place.rekindle(&["prepare", "-q"]).arg(&project.root).run();
    assert_eq!(prepared.code(), first.code, "{}", prepared.stderr());
    assert!(prepared.stdout().is_empty(), "{}", prepared.stdout());
    // It can be named, and goes on as well.
    let listed = project.place.rekindle(&["checkpoint", "list", "--json"]).run();
    let listed = json(&listed);
    let id = listed["checkpoints"].as_array().expect("a list")[0]["id"].clone();
    let id = id.as_str().expect("an identity");
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let named = project.place.rekindle(&["build", "--no-link", "--from", id]).arg(&project.root).run();
    assert!(named.success(), "{}", named.stderr());
    project.builds();
}

#[test]
fn what_make_was_told_by_something_that_failed_still_counts() {
    let told = "X := $(shell grep -o yes answer)\nCFLAGS = -DX=$(if $(X),2,1)\n";
    let project = project(&format!("{told}{}", RULES.replace("gcc -c", "gcc $(CFLAGS) -c")));
    for number in 1..=4 {
        project.put(&format!("f{number}.c"), &format!("int f{number}(void) {{ return X; }}\n"));
    }
    project.put("main.c", "int f1(void);\nint main(void) { return f1(); }\n");
    project.put("answer", "no\n");
    project.put("f5.c", SLIP);
    fails(&project);
    project.put("answer", "yes\n");
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let mended = project.builds();
    assert!(mended.work.iter().any(|work| work == "f1.c"), "{:?}", mended.work);
}

#[test]
fn makes_in_makes_go_on() {
    let project = project(&RULES.replace("lib/l.o: FORCE\n", "lib/l.o: FORCE\n\t-false\n"));
    project.put("lib/l.c", SLIP);
    let failed = fails(&project);
    assert_eq!(failed.work, ["f1.c", "f2.c", "f3.c", "f4.c", "f5.c", "f6.c", "main.c", "l.c"]);
    project.put("lib/l.c", "int l(void) { return 1; }\n");
    let mended = project.builds();
    assert_eq!(mended.work, ["l.c", "LINK"], "{}", mended.errors);
}

#[test]
fn a_make_that_goes_on_after_a_failure_goes_on() {
    let project = project(RULES);
    let manifest = "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
        build = \"make -k\"\ninstall = \"install -D prog $out/prog\"\n";
    project.put("rekindle.toml", manifest);
    project.put("f2.c", SLIP);
    project.put("f4.c", SLIP);
    let failed = fails(&project);
    assert_eq!(failed.work.len(), 8, "{:?}", failed.work);
    project.put("f2.c", "int f2(void) { return 1; }\n");
    assert_eq!(fails(&project).work, ["f2.c", "f4.c"]);
    project.put("f4.c", "int f4(void) { return 1; }\n");
    let mended = project.builds();
    assert_eq!(mended.work, ["f4.c", "LINK"], "{}", mended.errors);
}

#[test]
fn ninja_goes_on() {
    let project = project("");
    let rules = "rule cc\n  command = echo COMPILE $in && gcc -MD -MF $out.d -c -o $out $in\n  depfile = $out.d\n  deps = gcc\n\
        rule link\n  command = echo LINK && gcc -o $out $in\n";
    let object = |name: &str| format!("build {name}.o: cc {name}.c\n");
    let names = ["f1", "f2", "f3", "f4", "f5", "f6", "main"];
    let objects: String = names.iter().map(|name| object(name)).collect();
    let all: String = names.iter().map(|name| format!(" {name}.o")).collect();
    project.put("build.ninja", &format!("{rules}{objects}build prog: link{all}\n"));
    let manifest = "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"custom\"\n[phases]\n\
        build = \"ninja -v -j1\"\ninstall = \"install -D prog $out/prog\"\n";
    project.put("rekindle.toml", manifest);
    project.put("f5.c", SLIP);
    let failed = fails(&project).work;
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let mended = project.builds().work;
    // Ninja compiles in an order of its own.
    let compiled = |work: &[String], name: &str| work.iter().any(|line| *line == format!("{name}.c"));
    for name in names {
        let again = compiled(&failed, name) && name != "f5";
        assert!(compiled(&mended, name) != again, "{name}: {failed:?} {mended:?}");
    }
    assert!(compiled(&failed, "f5") && names.iter().any(|name| !compiled(&mended, name)), "{failed:?}");
}

#[test]
fn cargo_goes_on() {
    let project = Project::of_cargo("dependencies");
    project.put("src/main.rs", "fn main() {\n    let x: u8 = l::one();\n}\n");
    let failed = fails(&project);
    assert!(project.compiles(&failed, "l") && project.compiles(&failed, "prog"));
    project.put("src/main.rs", "fn main() {\n    let _: i32 = l::one();\n}\n");
    let mended = project.builds();
    assert!(!project.compiles(&mended, "l") && project.compiles(&mended, "prog"), "{}", mended.errors);
}

#[test]
fn cmake_goes_on() {
    let project = project("");
    fs::remove_file(project.place.path().join("p/Makefile")).expect("our own file");
    let lists = "cmake_minimum_required(VERSION 3.16)\nproject(p C)\n\
        add_executable(prog f1.c f2.c f3.c f4.c f5.c f6.c main.c)\ninstall(TARGETS prog DESTINATION .)\n";
    project.put("CMakeLists.txt", lists);
    let manifest = "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"cmake-make\"\n";
    project.put("rekindle.toml", manifest);
    project.put("f5.c", SLIP);
    fails(&project);
    project.put("f5.c", "int f5(void) { return 1; }\n");
    let mended = project.builds();
    let log = project.place.rekindle(&["log", &mended.drv]).run().stdout();
    assert!(log.contains("f5.c.o") && log.contains("f6.c.o") && !log.contains("f1.c.o"), "{log}");
}

#[test]
fn jobs_beside_the_one_that_failed_are_kept() {
    let project = Project { cores: "2", ..project(RULES) };
    project.put("f3.c", SLIP);
    let failed = fails(&project);
    project.put("f3.c", "int f3(void) { return 1; }\n");
    let built = project.builds();
    let twice: Vec<&String> = built.work.iter().filter(|work| failed.work.contains(work)).collect();
    assert_eq!(twice, ["f3.c"], "{:?} {:?}", failed.work, built.work);
}
