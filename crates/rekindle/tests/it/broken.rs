//! Edits that do not build: what fails is told at the price of the edit where a clean build would fail there, too, and
//! nothing is told before a clean build where it might not. The judges are the log of what the build tool ran, and a
//! clean build in another store.

use std::fs;

use crate::slips::Project;

const RULES: &str = "OBJECTS = main.o f.o\n\
    prog: $(OBJECTS)\n\t@echo LINK; gcc -o $@ $^\n\
    %.o: %.c\n\t@echo COMPILE $<; gcc -MD -c -o $@ $<\n\
    install: prog\n\tinstall -D prog $(PREFIX)/prog\n\
    -include $(OBJECTS:.o=.d)\n";

fn project(makefile: &str) -> Project {
    Project::of(&[
        ("Makefile", makefile),
        ("main.c", "int f(void);\nint main(void) { return f() - 1; }\n"),
        ("f.c", "#include \"f.h\"\nint f(void) { return F; }\n"),
        ("f.h", "#define F 1\n"),
    ])
}

#[test]
fn a_mistake_is_told_at_the_price_of_the_edit() {
    let project = project(RULES);
    let first = project.builds();
    assert_eq!(first.work.len(), 3, "{:?}", first.work);
    for _ in 0..7 {
        project.put("f.c", "#include \"f.h\"\nint f(void) { return G; }\n");
        let failed = project.build();
        assert!(!failed.success);
        assert!(failed.errors.contains("undeclared"), "{}", failed.errors);
        let done = (failed.work.len(), failed.restarts, failed.audits);
        assert_eq!(done, (1, 0, 1), "{:?}{}", failed.work, failed.errors);
    }
    // What it had before all of these is there still.
    project.put("f.c", "#include \"f.h\"\nint f(void) { return F + 0; }\n");
    let mended = project.builds();
    assert_eq!(mended.work.len(), 2, "{:?}", mended.work);
}

#[test]
fn what_a_build_tool_itself_complains_of_is_tried_clean() {
    // What fails without harm is no reason for its complaint.
    let project = project(&format!("X := $(shell false)\n{RULES}"));
    project.builds();
    // make was told by the compiler that there is such a header, and does not know how to make it.
    fs::remove_file(project.place.path().join("p/f.h")).expect("our own file");
    project.put("f.c", "int f(void) { return 1; }\n");
    let built = project.builds();
    assert!(built.errors.contains("No rule to make target"), "{}", built.errors);
    assert!(
        built.errors.contains("so it is built clean: what make says of it is not what was seen to fail"),
        "{}",
        built.errors
    );
    assert_eq!(built.restarts, 1);
}

#[test]
fn a_command_that_failed_for_what_is_old_is_tried_clean() {
    let makefile = format!("{RULES}f.h:\n\tsh gen.sh > f.h\nf.o: f.h\n");
    let project = project(&makefile);
    fs::remove_file(project.place.path().join("p/f.h")).expect("our own file");
    project.put("gen.sh", "echo '#define F 1'\n");
    project.builds();
    // Nobody says that the header is made from it.
    project.put("gen.sh", "echo '#define F 1'; echo '#define G 1'\n");
    project.put("f.c", "#include \"f.h\"\nint f(void) { return G; }\n");
    let built = project.builds();
    assert!(built.errors.contains("undeclared"), "{}", built.errors);
    assert!(built.errors.contains("had looked at an old \"build/source/f.h\""), "{}", built.errors);
    assert_eq!(built.restarts, 1);
}

#[test]
fn what_fails_after_a_step_that_went_on_is_told() {
    let project = project(&format!("{RULES}check: prog\n\t./prog\n.PHONY: check\n"));
    let manifest =
        "[package]\nname = \"p\"\nversion = \"1\"\nbuild-system = \"make\"\n[phases]\ncheck = true\n";
    project.put("rekindle.toml", manifest);
    project.builds();
    project.put("f.h", "#define F 2\n");
    let failed = project.build();
    assert!(!failed.success);
    assert!(failed.errors.contains("failed in checkPhase"), "{}", failed.errors);
    assert_eq!((failed.work.len(), failed.restarts), (2, 0), "{:?}{}", failed.work, failed.errors);
}
